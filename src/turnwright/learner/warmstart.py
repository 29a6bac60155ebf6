"""Warm start: supervised learning on demonstrations, to a foothold that reinforcement learning can grow from.

    loss = - sum_t weight_t log p_t / sum_t weight_t        over the expert's tokens of a batch, in nats

Weights let the answer count more than the many tokens of routine calls before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from turnwright.core.trajectory import Demonstration
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.packing import pack
from turnwright.models.forward import score_tokens
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
    for update, batch in enumerate(batches, start=1):
        learning_rate = optimizer.learning_rate()
        total_weight = sum(sum(demonstration.weights) for demonstration in batch)
        rows = [demonstration.token_ids for demonstration in batch]
        first = [_first_learned(demonstration) for demonstration in batch]
        loss = 0.0
        for members in pack(rows, first, [row.key.task_id for row in batch], budget=tokens_per_microbatch):
            chosen = [batch[index] for index in members]
            weights = [weight for demonstration in chosen for weight in demonstration.weights if weight > 0]
            scores = score_tokens(
                policy,
                [demonstration.token_ids for demonstration in chosen],
                [[weight > 0 for weight in demonstration.weights] for demonstration in chosen],
                [[1.0] * len(demonstration.token_ids) for demonstration in chosen],
            )
            part = -(scores.logprobs * torch.tensor(weights, device=policy.device)).sum() / total_weight
            part.backward()
            loss += part.item()
        num_tokens = sum(weight > 0 for demonstration in batch for weight in demonstration.weights)
        grad_norm = optimizer.step()
        yield SupervisedUpdate(
            update=update, loss=loss, grad_norm=grad_norm, learning_rate=learning_rate, num_tokens=num_tokens
        )


def _first_learned(demonstration: Demonstration) -> int:
    return next(position for position, weight in enumerate(demonstration.weights) if weight > 0)
