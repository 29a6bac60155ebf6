"""Warm start: supervised learning on demonstrations, to a foothold that reinforcement learning can grow from.

    loss = - sum_t weight_t log p_t / sum_t weight_t        over the expert's tokens of a batch, in nats

Weights let the answer count more than the many tokens of routine calls before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from turnwright.core.trajectory import Demonstration
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.passes import Passes, PassSettings
from turnwright.models.forward import TokenScores
from turnwright.models.load import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedUpdate:
    """What one supervised update reports."""

    update: int
    """From 1."""
    loss: float
    """Weighted mean negative log-probability of the expert's tokens, in nats."""
    grad_norm: float
    learning_rate: float
    num_tokens: int
    """Expert's tokens learned from."""


def supervise(
    policy: Policy, batches: Iterable[Sequence[Demonstration]], optimizer: Optimizer, *, tokens_per_microbatch: int
) -> Iterator[SupervisedUpdate]:
    """Make one optimizer update per batch and yield its report.

    Raises TrainingError when a gradient is not finite; the weights are then those before the update.
    """
    passes = Passes(policy, PassSettings(tokens_per_microbatch=tokens_per_microbatch))
    for update, batch in enumerate(batches, start=1):
        learning_rate = optimizer.learning_rate()
        loss = _accumulate(passes, batch)
        num_tokens = sum(weight > 0 for demonstration in batch for weight in demonstration.weights)
        grad_norm = optimizer.step()
        yield SupervisedUpdate(
            update=update, loss=loss, grad_norm=grad_norm, learning_rate=learning_rate, num_tokens=num_tokens
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """A demonstration as a row to learn from."""

    token_ids: Sequence[int]
    trained: Sequence[bool]
    temperature: Sequence[float]


def _accumulate(passes: Passes, batch: Sequence[Demonstration]) -> float:
    """Leave the gradient of a batch in the parameters and return its loss."""
    total_weight = sum(sum(demonstration.weights) for demonstration in batch)
    parts: list[Tensor] = []

    def loss(members: Sequence[int], scores: TokenScores) -> Tensor:
        weights = [weight for index in members for weight in batch[index].weights if weight > 0]
        part = -(scores.logprobs * torch.tensor(weights, device=scores.logprobs.device)).sum() / total_weight
        parts.append(part.detach())
        return part

    lessons = [
        _Lesson(
            token_ids=one.token_ids,
            trained=[weight > 0 for weight in one.weights],
            temperature=[1.0] * len(one.token_ids),
        )
        for one in batch
    ]
    passes.accumulate(lessons, [one.key.task_id for one in batch], loss, parts.clear)
    return sum(part.item() for part in parts)
