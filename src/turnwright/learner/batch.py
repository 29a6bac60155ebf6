"""Batch: groups with rewards in, rows with a per-token advantage and weight out, split into optimizer updates.

    attempts that count --> credit, over the whole step --> whole groups dealt to updates --> weights, within an update

A group without signal changes nothing and is not computed, unless a divergence or entropy term wants its tokens too;
with ``normalise = "all"`` its tokens still count in the normaliser, so that a batch of few live groups makes a small
step instead of a loud one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from turnwright.algorithms.reduce import Aggregation, token_weight
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.credit import (
    AdvantageSettings,
    ByRow,
    Considered,
    Credit,
    assign_credit,
    carries_signal,
    num_needed,
    trained_rows,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """Names and meaning as in the [algorithm] section."""

    advantages: AdvantageSettings = field(default_factory=AdvantageSettings)
    aggregation: Aggregation = "token"
    aggregation_tokens: int | None = None
    normalise: Literal["all", "live"] = "all"
    truncated: Literal["reward", "mask", "zero"] = "reward"
    updates_per_step: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedRow:
    """A row, the advantages of its trained tokens and the weight that each of them has."""

    row: Row
    number: int
    """Among the rows of its attempt that have trained tokens."""
    group: str
    advantages: tuple[float, ...]
    """One per trained token; 0 in a group without signal."""
    weight: float
    """Of each trained token in the policy loss; 0 where its group is not counted."""
    term_weight: float
    """Of each trained token in the terms of divergence and entropy, which all groups have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step trains on."""

    updates: tuple[tuple[WeightedRow, ...], ...]
    """Rows of each optimizer update; updates that nothing can be learned from are left out."""
    advantages: tuple[float, ...]
    """One per attempt of a live group, or per turn or token where those have their own."""
    num_groups: int
    num_live_groups: int
    zero_adv_nonzero_reward: int
    zero_adv_zero_reward: int
    num_small_groups: int
    """Groups with fewer than two attempts left, which have no baseline."""
    num_attempts: int


def build_batch(
    groups: Sequence[TrainableGroup],
    settings: BatchSettings,
    *,
    compute_all: bool = False,
    divergence: ByRow | None = None,
) -> Batch:
    """Compute advantages and weights; whole groups are dealt to the updates in turn.

    Args:
        groups: Of one step.
        settings: How rewards become advantages and weights.
        compute_all: Compute groups without signal too, with advantage 0.
        divergence: log p - log ref of each trained token, where it is a part of the reward.

    Raises:
        TrainingError: A reward or advantage is not a finite number.
    """
    _require_finite(groups)
    considered = {number: _considered(group.attempts, settings) for number, group in enumerate(groups)}
    live = [number for number, members in considered.items() if carries_signal(members, settings.advantages)]
    credits = assign_credit(
        [considered[number] for number in live],
        settings.advantages,
        num_attempts=sum(map(len, considered.values())),
        divergence=divergence,
    )
    credited = dict(zip(live, credits, strict=True))
    dealt = [
        _Dealt(name=group.task_id, attempts=[one.attempt for one in considered[n]], credits=credited.get(n))
        for n, group in enumerate(groups)
    ]
    updates = [
        _weigh(dealt[start :: settings.updates_per_step], settings, compute_all)
        for start in range(settings.updates_per_step)
    ]
    dull = [members for number, members in considered.items() if number not in credited]
    small = [members for members in dull if len(members) < num_needed(settings.advantages)]
    saturated = [members for members in dull if len(members) >= num_needed(settings.advantages)]
    best = [max(one.reward for one in members) for members in saturated]
    return Batch(
        updates=tuple(rows for rows in updates if rows),
        advantages=tuple(value for group in credits for credit in group for value in credit.values),
        num_groups=len(groups),
        num_live_groups=len(live),
        zero_adv_nonzero_reward=sum(reward != 0 for reward in best),
        zero_adv_zero_reward=sum(reward == 0 for reward in best),
        num_small_groups=len(small),
        num_attempts=sum(len(group.attempts) for group in groups),
    )


def is_live(group: TrainableGroup, settings: BatchSettings) -> bool:
    """Tell whether a group carries signal, as ``build_batch`` decides it."""
    return carries_signal(_considered(group.attempts, settings), settings.advantages)


def _require_finite(groups: Sequence[TrainableGroup]) -> None:
    for group in groups:
        for attempt in group.attempts:
            for reward in (attempt.reward, *attempt.turn_rewards.values()):
                if not math.isfinite(reward):
                    raise TrainingError(
                        f"the reward of episode {str(attempt.key)!r} is {reward}, expected a finite number: "
                        "no weight was changed; mend Environment.reward"
                    )


def _considered(attempts: Sequence[TrainableAttempt], settings: BatchSettings) -> list[Considered]:
    """Return the attempts of a group that count, with the rewards that count."""
    found: list[Considered] = []
    for attempt in attempts:
        if not attempt.num_sampled_tokens or (settings.truncated == "mask" and attempt.truncated):
            continue
        nothing = settings.truncated == "zero" and attempt.truncated
        reward = 0.0 if nothing else attempt.reward
        turns = dict.fromkeys(attempt.turns, 0.0)
        if not nothing:
            turns |= attempt.turn_rewards or {attempt.turns[-1]: reward}
        found.append(Considered(attempt=attempt, reward=reward, turn_rewards=turns))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dealt:
    """A group in its update."""

    name: str
    attempts: Sequence[TrainableAttempt]
    credits: Sequence[Credit] | None
    """None where it has no signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Normaliser:
    """What the sum over an update's tokens is divided by."""

    num_tokens: int
    num_attempts: int

    @classmethod
    def of(cls, dealt: Sequence[_Dealt]) -> "_Normaliser":
        attempts = [attempt for one in dealt for attempt in one.attempts]
        return cls(num_tokens=sum(one.num_sampled_tokens for one in attempts), num_attempts=len(attempts))

    def weight(self, attempt: TrainableAttempt, settings: BatchSettings) -> float:
        return token_weight(
            settings.aggregation,
            num_tokens=self.num_tokens,
            num_attempts=self.num_attempts,
            attempt_tokens=attempt.num_sampled_tokens,
            constant_tokens=settings.aggregation_tokens,
        )


def _weigh(dealt: Sequence[_Dealt], settings: BatchSettings, compute_all: bool) -> tuple[WeightedRow, ...]:
    """Return the rows of one update; none where nothing can be learned from them."""
    everyone = _Normaliser.of(dealt)
    counted = everyone if settings.normalise == "all" else _Normaliser.of([one for one in dealt if one.credits])
    rows: list[WeightedRow] = []
    for one in dealt:
        if one.credits is None and not compute_all:
            continue
        is_counted = one.credits is not None or settings.normalise == "all"
        for credit in one.credits or [Credit(attempt=attempt) for attempt in one.attempts]:
            weight = counted.weight(credit.attempt, settings) if is_counted else 0.0
            term_weight = everyone.weight(credit.attempt, settings)
            rows += [
                WeightedRow(
                    row=row,
                    number=number,
                    group=one.name,
                    advantages=credit.of_row(number),
                    weight=weight,
                    term_weight=term_weight,
                )
                for number, row in enumerate(trained_rows(credit.attempt))
            ]
    useful = compute_all or any(any(row.advantages) for row in rows)
    return tuple(rows) if useful else ()
