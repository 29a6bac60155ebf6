"""Packing: which rows share a pass, and how they run. Ordered rows in; micro-batches within the token budget out.

    tree     whole groups together, as many as fit; a token that rows share counts once. One group may be larger than
             the budget: it is then walked path by path (walk.py)
    dense    rows one after the other, as many as fit, each on its own

What a layout costs is predicted from the tokens, pairs and kernel calls it has; a tree is declined where the dense
passes over the same rows cost less.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from turnwright.models.load import Policy
from turnwright.models.tree import RowOrder

Layout = Literal["auto", "tree", "dense"]

ATTENTION_RATE = 0.8
"""Operations that the attention kernel does while a linear layer does one: its matrices are small."""
PASS_COST = 1.5e8
"""A pass, forward and backward, per layer, in operations of a linear layer."""
BRANCH_COST = 1.5e7
"""A branch of a tree, likewise. All three were measured on a CPU, with hidden widths of 128 and 256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassCost:
    """What passes of a model cost, in operations of its linear layers, forward and backward."""

    token: float
    pair: float
    """A token that sees another, in all layers."""
    branch: float
    once: float
    """A pass."""

    @classmethod
    def of(cls, policy: Policy) -> "PassCost":
        """Take the shapes of a model."""
        config = policy.model.config
        layers = int(config.num_hidden_layers)
        heads = int(config.num_attention_heads)
        width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        embedding = cast(Any, policy.model).get_input_embeddings().weight
        weights = sum(tensor.numel() for tensor in policy.decoder.parameters()) - embedding.numel()
        # Backward costs twice the forward pass; that of the attention kernel also computes the scores again.
        return cls(
            token=6.0 * weights,
            pair=14 * layers * heads * width / ATTENTION_RATE,
            branch=layers * BRANCH_COST,
            once=layers * PASS_COST,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """Rows that run together.

    Example: rows 2 and 0 share three tokens: ``MicroBatch(rows=(2, 0), shared=(0, 3), tree=True)``.
    """

    rows: tuple[int, ...]
    """Numbers of the rows, equal prefixes as neighbours."""
    shared: tuple[int, ...]
    """Leading tokens that each row has in common with the one before it; 0 for the first."""
    tree: bool
    """Compute shared tokens once."""
    declined: bool = False
    """They share tokens and still cost less apart."""


def pack(
    order: RowOrder, lengths: Sequence[int], groups: Sequence[Hashable], *, budget: int, layout: Layout, cost: PassCost
) -> list[MicroBatch]:
    """Return micro-batches, each row in exactly one.

    Args:
        order: Of the rows; those of a group are neighbours.
        lengths: Tokens of each row.
        groups: Name of the group of each row.
        budget: Most tokens of a pass; a longer row still runs, alone.
        layout: "auto" chooses per micro-batch.
        cost: Of the model.
    """
    whole = MicroBatch(rows=order.rows, shared=order.shared, tree=False)
    if layout == "dense":
        return list(_apart(whole, lengths, budget))
    found: list[MicroBatch] = []
    for batch in _together(order, lengths, groups, budget):
        apart = list(_apart(batch, lengths, budget))
        if not any(batch.shared):
            found += apart
        elif layout == "tree" or tree_cost(batch, lengths, cost) <= sum(dense_cost(b, lengths, cost) for b in apart):
            found.append(batch)
        else:
            found += [MicroBatch(rows=b.rows, shared=b.shared, tree=False, declined=True) for b in apart]
    return found


def tree_cost(batch: MicroBatch, lengths: Sequence[int], cost: PassCost) -> float:
    """Predict what a micro-batch costs as one tree."""
    tokens = pairs = branches = 0
    for row, shared in zip(batch.rows, batch.shared, strict=True):
        fresh = lengths[row] - shared
        tokens += fresh
        pairs += fresh * shared + fresh * (fresh + 1) // 2
        branches += shared > 0
    return cost.once + tokens * cost.token + pairs * cost.pair + branches * cost.branch


def dense_cost(batch: MicroBatch, lengths: Sequence[int], cost: PassCost) -> float:
    """Predict what a micro-batch costs with each row on its own."""
    sizes = [lengths[row] for row in batch.rows]
    return cost.once + sum(size * cost.token + size * (size + 1) // 2 * cost.pair for size in sizes)


def _together(order: RowOrder, lengths: Sequence[int], groups: Sequence[Hashable], budget: int) -> Iterator[MicroBatch]:
    """Cut between groups where the next one no longer fits."""
    start, num_tokens = 0, 0
    for first, last in _spans([groups[row] for row in order.rows]):
        alone = lengths[order.rows[first]] + sum(
            lengths[order.rows[i]] - order.shared[i] for i in range(first + 1, last)
        )
        joined = alone - order.shared[first]
        if first > start and num_tokens + joined > budget:
            yield _slice(order, start, first)
            start, num_tokens = first, 0
        num_tokens += alone if first == start else joined
    if order.rows:
        yield _slice(order, start, len(order.rows))


def _spans(names: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Yield first and one past last index of each stretch of equal names."""
    first = 0
    for i in range(1, len(names) + 1):
        if i == len(names) or names[i] != names[first]:
            yield first, i
            first = i


def _slice(order: RowOrder, start: int, stop: int) -> MicroBatch:
    return MicroBatch(rows=order.rows[start:stop], shared=(0, *order.shared[start + 1 : stop]), tree=True)


def _apart(batch: MicroBatch, lengths: Sequence[int], budget: int) -> Iterator[MicroBatch]:
    """Cut rows, each on its own, where the next one no longer fits."""
    taken: list[int] = []
    for row in batch.rows:
        if taken and sum(lengths[i] for i in taken) + lengths[row] > budget:
            yield MicroBatch(rows=tuple(taken), shared=(0,) * len(taken), tree=False)
            taken = []
        taken.append(row)
    if taken:
        yield MicroBatch(rows=tuple(taken), shared=(0,) * len(taken), tree=False)
