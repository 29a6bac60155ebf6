"""Log-probabilities of the wanted tokens of many rows, each distinct token and each distinct prediction computed once.

    rows --build_tree--> [1, N] --decoder, TreeView--> states [N, hidden] --score_states--> scores, row by row

Exact: shared tokens enter every row's attention as they are, and the gradients of all rows add up in them. Logits are
computed only for states that predict a wanted token, chunk by chunk within a memory limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from turnwright.core.errors import AlignmentError
from turnwright.models.attention import RowsView
from turnwright.models.flex import FlexView
from turnwright.models.load import Policy
from turnwright.models.tree import Tree, build_tree
from turnwright.models.tree_attention import PathPiece, TreeView

LOGITS_MEMORY_MB = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRow:
    """A row and which of its tokens are to be scored.

    Example: score the last two of four tokens at temperature 1: ``AskedRow.of((5, 9, 7, 2), (False, False, True, True),
    (1.0, 1.0, 1.0, 1.0))``.
    """

    token_ids: Tensor
    """[t]"""
    wanted: Tensor
    """[w] positions of the tokens to score, each at least 1."""
    temperatures: Tensor
    """[w] temperature of the distribution that each is scored under, fp32."""

    @classmethod
    def of(cls, token_ids: Sequence[int], wanted: Sequence[bool], temperatures: Sequence[float]) -> "AskedRow":
        """Take a row with a flag and a temperature per position."""
        positions = torch.tensor(wanted, dtype=torch.bool).nonzero()[:, 0]
        if len(positions) and positions[0] == 0:
            raise AlignmentError("position 0 of a row cannot be scored: nothing stands before it; a prompt has >= 1 id")
        kept = torch.tensor(temperatures, dtype=torch.float32)[positions]
        return cls(token_ids=torch.tensor(token_ids), wanted=positions, temperatures=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings:
    """How states become scores."""

    entropy_gradient: bool = False
    """Let ``TokenScores.entropy`` carry a gradient."""
    logits_memory_mb: int = LOGITS_MEMORY_MB
    """Logits held at once, their gradient included, in MiB; more are computed in chunks, again in the backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """Scores of the wanted tokens, flattened row by row. All tensors are [N]."""

    logprobs: Tensor
    """log softmax(logits / temperature) of each wanted token, fp32, differentiable."""
    entropy: Tensor
    """Entropy of the same distribution in nats; detached unless its gradient was asked for."""


def score_tokens(
    policy: Policy,
    rows: Sequence[Sequence[int]],
    wanted: Sequence[Sequence[bool]],
    temperatures: Sequence[Sequence[float]],
) -> TokenScores:
    """Score the wanted tokens of B rows in one dense pass.

    Args:
        policy: The model.
        rows: Token ids of each row.
        wanted: Per row and position: score this token? Position 0 has no prediction and must be False.
        temperatures: Per row and position: temperature of the distribution the token is scored under.
    """
    asked = [AskedRow.of(*entry) for entry in zip(rows, wanted, temperatures, strict=True)]
    return score_rows(policy, asked, ScoreSettings())


def score_rows(policy: Policy, rows: Sequence[AskedRow], settings: ScoreSettings) -> TokenScores:
    """Score rows in one pass, each row on its own."""
    layout = build_tree([row.token_ids for row in rows], [0] * len(rows))
    view = RowsView([stop - start for start, stop in layout.runs])
    states = _states(policy, layout, view)
    return score_states(policy, states, rows, layout.places, settings)


def tree_view(policy: Policy, tree: Tree, path: Sequence[PathPiece]) -> TreeView | FlexView:
    """Return the view that computes a tree on the policy's device."""
    return (TreeView if policy.device.type == "cpu" else FlexView)(tree, path)


def tree_states(policy: Policy, tree: Tree, view: TreeView | FlexView) -> Tensor:
    """Return the states [N, hidden] of the tokens of a tree."""
    return _states(policy, tree, view)


def score_states(
    policy: Policy, states: Tensor, rows: Sequence[AskedRow], places: Sequence[Tensor], settings: ScoreSettings
) -> TokenScores:
    """Score wanted tokens from the states that predict them; equal predictions of several rows are computed once.

    Args:
        policy: Its output head is used.
        states: [N, hidden].
        rows: What is wanted.
        places: Per row, [t]: which state belongs to each of its tokens.
        settings: How.
    """
    origins = torch.cat([place[row.wanted - 1] for row, place in zip(rows, places, strict=True)])
    targets = torch.cat([row.token_ids[row.wanted] for row in rows])
    scales, scale_numbers = torch.cat([row.temperatures for row in rows]).unique(return_inverse=True)
    # One number per (state, target, temperature).
    vocabulary = int(targets.max()) + 1
    keys = (origins * vocabulary + targets) * len(scales) + scale_numbers
    distinct, inverse = keys.unique(return_inverse=True)
    device = states.device
    scale = scales[distinct % len(scales)].to(device)
    target = (distinct // len(scales) % vocabulary).to(device)
    asked = states.index_select(0, (distinct // len(scales) // vocabulary).to(device))
    logprobs, entropy = _predictions(policy, asked, target, scale, settings)
    inverse = inverse.to(device)
    return TokenScores(logprobs=logprobs.index_select(0, inverse), entropy=entropy.index_select(0, inverse))


def _states(policy: Policy, tree: Tree, view: TreeView | FlexView | RowsView) -> Tensor:
    device = policy.device
    return policy.hidden_states(tree.token_ids[None].to(device), tree.depths[None].to(device), view)[0]


def _predictions(
    policy: Policy, states: Tensor, targets: Tensor, scales: Tensor, settings: ScoreSettings
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and entropies [U] of targets [U] predicted by states [U, hidden]."""
    # Logits and their gradient, in fp32.
    size = max(1, settings.logits_memory_mb * 2**20 // (8 * int(policy.model.config.vocab_size)))

    def predict(states: Tensor, targets: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        logits = policy.logits(states)
        if not bool((scales == 1).all()):
            logits = logits / scales[:, None]
        return cast(tuple[Tensor, Tensor], _Prediction.apply(logits, targets, settings.entropy_gradient))

    if len(states) <= size:
        return predict(states, targets, scales)
    chunks = zip(states.split(size), targets.split(size), scales.split(size), strict=True)
    parts = [
        cast(tuple[Tensor, Tensor], checkpoint(predict, *chunk, use_reentrant=False, preserve_rng_state=False))
        if torch.is_grad_enabled()
        else predict(*chunk)
        for chunk in chunks
    ]
    logprobs, entropy = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropy)


class _Prediction(torch.autograd.Function):
    """Logits [U, V] and targets [U] in, log-probability and entropy [U] out; holds one tensor [U, V], not several.

    With p = softmax(logits) and H = - sum p log p:

        d log p_target / d logits = onehot - p        d H / d logits = - p (log p + H)
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, entropy_gradient: bool) -> tuple[Tensor, Tensor]:
        logprobs = logits.log_softmax(-1)
        # A logit of -inf is a token that cannot be: it adds nothing to the entropy.
        entropy = torch.special.entr(logprobs.exp()).sum(-1)
        if not entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        ctx.save_for_backward(logprobs, targets, entropy)
        ctx.entropy_gradient = entropy_gradient
        return logprobs.gather(1, targets[:, None])[:, 0], entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_entropy: Tensor) -> tuple[Tensor, None, None]:
        logprobs, targets, entropy = ctx.saved_tensors
        slope = logprobs.exp()
        factor = grad[:, None]
        if ctx.entropy_gradient:
            factor = factor + grad_entropy[:, None] * (logprobs + entropy[:, None])
        slope.mul_(factor).neg_()
        rows = torch.arange(len(targets), device=targets.device)
        slope[rows, targets] += grad
        return slope, None, None
