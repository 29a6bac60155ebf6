"""Verification: the same rows as a tree and dense; do scores and gradients agree? Weights and gradients stay.

The loss that is compared gives each token a weight of its own and either sign, so that a wrong token cannot hide behind
a right one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from turnwright.learner.walk import Visit, walk_rows, walk_tree
from turnwright.models.forward import AskedRow, ScoreSettings, TokenScores
from turnwright.models.load import Policy

EXACT_LIMITS = (1e-4, 1e-4)
"""Relative differences, of log-probabilities and of gradients, that are still rounding in float32."""
COARSE_LIMITS = (0.02, 0.15)
"""The same in reduced precision, whose every operation rounds at 4e-3: terms of either sign cancel in a gradient, their
errors do not (0.04 in two layers). A tree that is wrong is off by as much as the gradient itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far a tree is from dense passes over the same rows."""

    logprob_gap: float
    """Root mean square difference of a row's log-probabilities at worst, relative to theirs; below 1 in nats."""
    gradient_gap: float
    """Norm of a parameter's difference relative to the norm of its gradient, at worst; 0 where none were compared."""
    worst: str
    """The parameter it is."""
    limits: tuple[float, float]
    """Of both."""

    @property
    def agrees(self) -> bool:
        """Tell whether both differences are rounding."""
        return self.logprob_gap <= self.limits[0] and self.gradient_gap <= self.limits[1]


def compare_layouts(
    policy: Policy,
    rows: Sequence[AskedRow],
    shared: Sequence[int],
    settings: ScoreSettings,
    *,
    budget: int,
    gradients: bool,
) -> Comparison:
    """Run rows as a tree and dense.

    Args:
        policy: Its gradients are put aside meanwhile.
        rows: In an order in which equal prefixes are neighbours.
        shared: Leading tokens that each row shares with the one before it.
        settings: How states become scores.
        budget: Most tokens held at once.
        gradients: Compare them too, not scores alone.
    """
    parameters = {
        name: tensor for name, tensor in policy.model.named_parameters() if gradients and tensor.requires_grad
    }
    kept = {name: tensor.grad for name, tensor in parameters.items()}
    found: list[tuple[list[Tensor], dict[str, Tensor]]] = []
    try:
        for tree in (True, False):
            for tensor in parameters.values():
                tensor.grad = None
            logprobs = _run(policy, rows, shared if tree else None, settings, budget, gradients)
            slopes = {name: tensor.grad for name, tensor in parameters.items() if tensor.grad is not None}
            found.append((logprobs, slopes))
    finally:
        for name, tensor in parameters.items():
            tensor.grad = kept[name]
    (ours, our_slopes), (dense, dense_slopes) = found
    norms = {name: slope.norm().item() for name, slope in dense_slopes.items()}
    # A gradient that is 0 but for rounding is measured by the others'.
    floor = 0.01 * max(norms.values(), default=1.0)
    gaps = {
        name: (our_slopes.get(name, torch.zeros_like(slope)) - slope).norm().item() / max(norms[name], floor)
        for name, slope in dense_slopes.items()
    }
    worst = max(gaps, key=gaps.__getitem__, default="")
    apart = [_size(one - other) / max(1.0, _size(other)) for one, other in zip(ours, dense, strict=True)]
    return Comparison(
        logprob_gap=max(apart),
        gradient_gap=gaps.get(worst, 0.0),
        worst=worst,
        limits=EXACT_LIMITS if policy.model.dtype == torch.float32 else COARSE_LIMITS,
    )


def _run(
    policy: Policy,
    rows: Sequence[AskedRow],
    shared: Sequence[int] | None,
    settings: ScoreSettings,
    budget: int,
    backward: bool,
) -> list[Tensor]:
    """Return the log-probabilities of each row; with ``backward`` leave the gradients in the parameters."""
    parts: list[Tensor] = [torch.empty(0)] * len(rows)

    def visit_from(first: int) -> Visit:
        def visit(members: Sequence[int], scores: TokenScores) -> None:
            sizes = [len(rows[first + member].wanted) for member in members]
            for member, part in zip(members, scores.logprobs.detach().split(sizes), strict=True):
                parts[first + member] = part
            if not backward:
                return
            weights = torch.cat([_weights(first + member, size) for member, size in zip(members, sizes, strict=True)])
            loss = scores.logprobs
            if settings.entropy_gradient:
                loss = loss + scores.entropy
            (loss * weights.to(loss.device)).sum().backward()

        return visit

    with torch.set_grad_enabled(backward):
        if shared is not None:
            walk_tree(policy, rows, shared, visit_from(0), settings, budget=budget)
        else:
            for first, last in _dense_passes(rows, budget):
                walk_rows(policy, rows[first:last], visit_from(first), settings)
    return parts


def _size(values: Tensor) -> float:
    return values.square().mean().sqrt().item()


def _dense_passes(rows: Sequence[AskedRow], budget: int) -> list[tuple[int, int]]:
    """Return first and one past last row of each pass, as many rows as fit."""
    found: list[tuple[int, int]] = []
    num_tokens = 0
    for number, row in enumerate(rows):
        num_tokens += len(row.token_ids)
        if found and num_tokens <= budget:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
            num_tokens = len(row.token_ids)
    return found


def _weights(row: int, count: int) -> Tensor:
    """Return weights of either sign and size 0.5 to 1 that repeat neither within a row nor between rows."""
    number = torch.arange(count) + 31.0 * row
    return torch.where(number.long() % 2 == 0, 1.0, -1.0) * (0.75 + 0.25 * (0.7 * number).sin())
