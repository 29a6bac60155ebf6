"""Walk: the rows of a micro-batch through the policy, holding the activations of at most ``budget`` tokens at once.

    fits:           one pass over the whole tree --> scores of all rows --> visit
    does not fit:   the trunk that all rows share, kept --> its keys, values and states as leaves
                        --> children, in chunks that fit, each walked alike; their backward passes add up in the leaves
                        --> the trunk's own backward pass, with what has added up

So a path and one chunk are held, a row's loss still sees all its tokens in one call, and each distinct token is
computed once, however large the tree.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from turnwright.models.flex import FlexView
from turnwright.models.forward import (
    AskedRow,
    ScoreSettings,
    TokenScores,
    score_rows,
    score_states,
    tree_states,
    tree_view,
)
from turnwright.models.load import Policy
from turnwright.models.tree import build_tree
from turnwright.models.tree_attention import PathPiece, TreeView

Visit = Callable[[Sequence[int], TokenScores], None]
"""Takes the numbers of some rows and the scores of their wanted tokens; runs the backward pass, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkReport:
    """What a walk computed."""

    num_passes: int
    num_tokens: int
    max_tokens_held: int
    """Most tokens whose activations were held at once."""


def walk_rows(policy: Policy, rows: Sequence[AskedRow], visit: Visit, settings: ScoreSettings) -> WalkReport:
    """Run rows in one dense pass."""
    visit(range(len(rows)), score_rows(policy, rows, settings))
    num_tokens = sum(len(row.token_ids) for row in rows)
    return WalkReport(num_passes=1, num_tokens=num_tokens, max_tokens_held=num_tokens)


def walk_tree(
    policy: Policy,
    rows: Sequence[AskedRow],
    shared: Sequence[int],
    visit: Visit,
    settings: ScoreSettings,
    *,
    budget: int,
) -> WalkReport:
    """Run rows as a tree.

    Args:
        policy: The model.
        rows: In an order in which equal prefixes are neighbours.
        shared: Leading tokens that each row shares with the one before it; the first entry does not count.
        visit: Called with each row once.
        settings: How states become scores.
        budget: Most tokens held at once; only a single row may be longer.
    """
    walk = _Walk(policy, rows, shared, visit, settings, budget)
    walk.descend(0, len(rows), ())
    return WalkReport(num_passes=walk.num_passes, num_tokens=walk.num_tokens, max_tokens_held=walk.max_tokens_held)


class _Trunk:
    """A part of the path with a pass of its own: what it computed, and the same as leaves for what follows."""

    def __init__(self, view: TreeView | FlexView, states: Tensor) -> None:
        self._computed = [*view.keys, *view.values, states]
        self._leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in self._computed]
        num_layers = len(view.keys)
        self.piece = PathPiece(
            keys=tuple(self._leaves[:num_layers]), values=tuple(self._leaves[num_layers : 2 * num_layers])
        )
        self.states = self._leaves[-1]

    def backward(self) -> None:
        """Hand the gradients that have added up in the leaves to the pass that computed them."""
        pairs = [
            (computed, leaf.grad)
            for computed, leaf in zip(self._computed, self._leaves, strict=True)
            if leaf.grad is not None
        ]
        if pairs:
            torch.autograd.backward([computed for computed, _ in pairs], [grad for _, grad in pairs])


class _Walk:
    def __init__(
        self,
        policy: Policy,
        rows: Sequence[AskedRow],
        shared: Sequence[int],
        visit: Visit,
        settings: ScoreSettings,
        budget: int,
    ) -> None:
        self.policy = policy
        self.rows = rows
        self.shared = shared
        self.visit = visit
        self.settings = settings
        self.budget = budget
        self.num_passes = 0
        self.num_tokens = 0
        self.max_tokens_held = 0

    def descend(self, first: int, last: int, path: tuple[_Trunk, ...]) -> None:
        """Walk the rows [first, last) that stand behind a path."""
        depth = sum(len(trunk.states) for trunk in path)
        if last - first == 1 or depth + self._size(first, last, depth) <= self.budget:
            self._score(first, last, path, depth)
            return
        common = min(self.shared[first + 1 : last])
        trunk = None
        if common > depth:
            trunk = self._run_trunk(self.rows[first].token_ids[:common], path, depth)
            path = (*path, trunk)
        for start, stop in self._chunks(first, last, common):
            self.descend(start, stop, path)
        if trunk is not None:
            trunk.backward()

    def _size(self, first: int, last: int, depth: int) -> int:
        """Return the distinct tokens of rows [first, last) behind ``depth`` tokens that they share."""
        common = [depth, *self.shared[first + 1 : last]]
        return sum(len(row.token_ids) - n for row, n in zip(self.rows[first:last], common, strict=True))

    def _chunks(self, first: int, last: int, common: int) -> list[tuple[int, int]]:
        """Cut rows where they part behind ``common`` tokens, and join neighbours as far as they fit."""
        cuts = [first, *(i for i in range(first + 1, last) if self.shared[i] == common), last]
        chunks: list[tuple[int, int]] = []
        for start, stop in pairwise(cuts):
            if chunks and common + self._size(chunks[-1][0], stop, common) <= self.budget:
                chunks[-1] = (chunks[-1][0], stop)
            else:
                chunks.append((start, stop))
        return chunks

    def _run_trunk(self, token_ids: Tensor, path: tuple[_Trunk, ...], depth: int) -> _Trunk:
        tree = build_tree([token_ids], [0], behind=depth)
        view = tree_view(self.policy, tree, [before.piece for before in path])
        self._count(tree.num_tokens, depth)
        return _Trunk(view, tree_states(self.policy, tree, view))

    def _score(self, first: int, last: int, path: tuple[_Trunk, ...], depth: int) -> None:
        rows = self.rows[first:last]
        tree = build_tree([row.token_ids for row in rows], self.shared[first:last], behind=depth)
        states = [trunk.states for trunk in path]
        self._count(tree.num_tokens, depth)
        # Rows that end where their path ends add no token.
        if tree.num_tokens:
            view = tree_view(self.policy, tree, [trunk.piece for trunk in path])
            states.append(tree_states(self.policy, tree, view))
        before = torch.arange(depth)
        places = [torch.cat([before, place + depth]) for place in tree.places]
        joined = states[0] if len(states) == 1 else torch.cat(states)
        self.visit(range(first, last), score_states(self.policy, joined, rows, places, self.settings))

    def _count(self, num_tokens: int, depth: int) -> None:
        self.num_passes += num_tokens > 0
        self.num_tokens += num_tokens
        self.max_tokens_held = max(self.max_tokens_held, depth + num_tokens)
