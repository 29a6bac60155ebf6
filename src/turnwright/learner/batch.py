"""Batch: groups with rewards in, rows with a per-token advantage and weight out, split into optimizer updates.

A group without signal (all rewards equal) changes nothing and is not computed; with ``normalise = "all"`` its tokens
still count in the normaliser, so that a batch of few live groups makes a small step instead of a loud one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from turnwright.algorithms.advantages import group_based, has_signal
from turnwright.algorithms.reduce import Aggregation, token_weight
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.core.trajectory import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """Names and meaning as in the [algorithm] section."""

    advantage_normalization: bool = True
    aggregation: Aggregation = "token"
    normalise: Literal["all", "live"] = "all"
    truncated: Literal["reward", "mask", "zero"] = "reward"
    updates_per_step: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedRow:
    """A row, the advantage of its attempt and the weight of each of its trained tokens."""

    row: Row
    group: str
    advantage: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step trains on."""

    updates: tuple[tuple[WeightedRow, ...], ...]
    """Rows of each optimizer update; updates without a live group are left out."""
    advantages: tuple[float, ...]
    """One per attempt of a live group."""
    num_groups: int
    num_live_groups: int
    zero_adv_nonzero_reward: int
    zero_adv_zero_reward: int
    num_small_groups: int
    """Groups with fewer than two attempts left, which have no baseline."""
    num_attempts: int


def build_batch(groups: Sequence[TrainableGroup], settings: BatchSettings) -> Batch:
    """Compute advantages and weights; whole groups are dealt to the updates in turn.

    Raises TrainingError when a reward is not a finite number.
    """
    _require_finite(groups)
    dealt = [list(groups[start :: settings.updates_per_step]) for start in range(settings.updates_per_step)]
    updates: list[tuple[WeightedRow, ...]] = []
    advantages: list[float] = []
    live = solved = hopeless = small = 0
    for members in dealt:
        scored: list[tuple[TrainableAttempt, float, str]] = []
        counted: list[TrainableAttempt] = []
        for group in members:
            attempts = _considered(group.attempts, settings)
            rewards = torch.tensor([reward for _, reward in attempts], dtype=torch.float64)
            signal = len(attempts) >= 2 and has_signal(rewards)
            if settings.normalise == "all" or signal:
                counted += [attempt for attempt, _ in attempts]
            if len(attempts) < 2:
                small += 1
            elif not signal:
                solved += bool(rewards[0] != 0)
                hopeless += bool(rewards[0] == 0)
            else:
                live += 1
                values = group_based(rewards, normalise=settings.advantage_normalization).tolist()
                advantages += values
                scored += [(a, value, group.task_id) for (a, _), value in zip(attempts, values, strict=True)]
        if scored:
            updates.append(tuple(_weigh(scored, counted, settings)))
    return Batch(
        updates=tuple(updates),
        advantages=tuple(advantages),
        num_groups=len(groups),
        num_live_groups=live,
        zero_adv_nonzero_reward=solved,
        zero_adv_zero_reward=hopeless,
        num_small_groups=small,
        num_attempts=sum(len(group.attempts) for group in groups),
    )


def _require_finite(groups: Sequence[TrainableGroup]) -> None:
    for group in groups:
        for attempt in group.attempts:
            if not math.isfinite(attempt.reward):
                raise TrainingError(
                    f"the reward of episode {str(attempt.key)!r} is {attempt.reward}, expected a finite number: "
                    "no weight was changed; mend Environment.reward"
                )


def _considered(attempts: Sequence[TrainableAttempt], settings: BatchSettings) -> list[tuple[TrainableAttempt, float]]:
    """Return the attempts of a group that count, with the reward that counts."""
    kept = [attempt for attempt in attempts if attempt.num_sampled_tokens]
    if settings.truncated == "mask":
        kept = [attempt for attempt in kept if not attempt.truncated]
    zeroes = settings.truncated == "zero"
    return [(attempt, 0.0 if zeroes and attempt.truncated else attempt.reward) for attempt in kept]


def _weigh(
    scored: Sequence[tuple[TrainableAttempt, float, str]], counted: Sequence[TrainableAttempt], settings: BatchSettings
) -> list[WeightedRow]:
    num_tokens = sum(attempt.num_sampled_tokens for attempt in counted)
    return [
        WeightedRow(
            row=row,
            group=group,
            advantage=advantage,
            weight=token_weight(
                settings.aggregation,
                num_tokens=num_tokens,
                num_attempts=len(counted),
                attempt_tokens=attempt.num_sampled_tokens,
            ),
        )
        for attempt, advantage, group in scored
        for row in attempt.rows
        if row.num_trained_tokens
    ]
