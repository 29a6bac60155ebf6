"""Batch: groups with rewards in, rows with a per-token advantage and weight out, split into optimizer updates.

    attempts that count --> credit, over the whole step --> whole groups dealt to updates --> weights, within an update

A group without signal changes nothing and is not computed; with ``normalise = "all"`` its tokens still count in the
normaliser, so that a batch of few live groups makes a small step instead of a loud one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from turnwright.algorithms.reduce import Aggregation, token_weight
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.credit import AdvantageSettings, Considered, Credit, assign_credit, carries_signal, num_needed


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """Names and meaning as in the [algorithm] section."""

    advantages: AdvantageSettings = field(default_factory=AdvantageSettings)
    aggregation: Aggregation = "token"
    normalise: Literal["all", "live"] = "all"
    truncated: Literal["reward", "mask", "zero"] = "reward"
    updates_per_step: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedRow:
    """A row, the advantages of its trained tokens and the weight that each of them has."""

    row: Row
    group: str
    advantages: tuple[float, ...]
    """One per trained token."""
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step trains on."""

    updates: tuple[tuple[WeightedRow, ...], ...]
    """Rows of each optimizer update; updates without a live group are left out."""
    advantages: tuple[float, ...]
    """One per attempt of a live group, or per turn where turns have their own."""
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
    considered = {number: _considered(group.attempts, settings) for number, group in enumerate(groups)}
    live = [number for number, members in considered.items() if carries_signal(members, settings.advantages)]
    credits = assign_credit(
        [considered[number] for number in live],
        settings.advantages,
        num_attempts=sum(map(len, considered.values())),
    )
    credited = dict(zip(live, credits, strict=True))
    updates: list[tuple[WeightedRow, ...]] = []
    for start in range(settings.updates_per_step):
        dealt = range(start, len(groups), settings.updates_per_step)
        counted = [one.attempt for n in dealt if settings.normalise == "all" or n in credited for one in considered[n]]
        scored = [(credit, groups[n].task_id) for n in dealt for credit in credited.get(n, ())]
        if scored:
            updates.append(tuple(_weigh(scored, counted, settings)))
    dull = [members for number, members in considered.items() if number not in credited]
    small = [members for members in dull if len(members) < num_needed(settings.advantages)]
    equal = [members[0].reward for members in dull if len(members) >= num_needed(settings.advantages)]
    return Batch(
        updates=tuple(updates),
        advantages=tuple(value for group in credits for credit in group for value in _values(credit)),
        num_groups=len(groups),
        num_live_groups=len(live),
        zero_adv_nonzero_reward=sum(reward != 0 for reward in equal),
        zero_adv_zero_reward=sum(reward == 0 for reward in equal),
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


def _values(credit: Credit) -> Sequence[float]:
    return tuple(credit.by_turn.values()) or (credit.whole,)


def _weigh(
    scored: Sequence[tuple[Credit, str]], counted: Sequence[TrainableAttempt], settings: BatchSettings
) -> list[WeightedRow]:
    num_tokens = sum(attempt.num_sampled_tokens for attempt in counted)
    return [
        WeightedRow(
            row=row,
            group=group,
            advantages=tuple(credit.of(turn) for turn in row.turn_index if turn >= 0),
            weight=token_weight(
                settings.aggregation,
                num_tokens=num_tokens,
                num_attempts=len(counted),
                attempt_tokens=credit.attempt.num_sampled_tokens,
            ),
        )
        for credit, group in scored
        for row in credit.attempt.rows
        if row.num_trained_tokens
    ]
