"""Credit: the rewards of a step's groups in, an advantage for each turn of each attempt out.

    groups of a step --> signal? --> advantages of one group, or over the tokens of the whole step --> credit

A group without signal (all its rewards equal) has no advantages and is not computed. ``monte_carlo`` and
``reinforce_pp`` compare with nobody in the group: for them every attempt with a sampled token counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from turnwright.algorithms.advantages import gpg_scale, group_based, has_signal, opo, rloo
from turnwright.algorithms.passk import grpo_passk, grpo_passk_analytic, max_minus_second
from turnwright.algorithms.reinforce_pp import group_centred, standardise
from turnwright.algorithms.turns import group_based_per_turn, monte_carlo
from turnwright.config.algorithm import AdvantageMethod, PasskForm
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableAttempt

WITHOUT_GROUP: tuple[AdvantageMethod, ...] = ("monte_carlo", "reinforce_pp")
"""Methods that compare an attempt with no other of its group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageSettings:
    """Names and meaning as in the [algorithm] section."""

    method: AdvantageMethod = "group_based"
    normalization: bool = True
    gamma: float = 1.0
    k: int = 4
    k_form: PasskForm = "subset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """An attempt that counts, with the rewards that count.

    Example: of three turns the last was rewarded: ``Considered(attempt=..., reward=1.0, turn_rewards={0: 0.0, 1: 0.0,
    2: 1.0})``.
    """

    attempt: TrainableAttempt
    reward: float
    turn_rewards: Mapping[int, float]
    """By turn, in order; they sum to the reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """The advantage of an attempt."""

    attempt: TrainableAttempt
    by_turn: Mapping[int, float]
    """By turn; empty where the whole attempt has one."""
    whole: float
    """Advantage of all turns, where there is but one; otherwise that of the first turn."""

    def of(self, turn: int) -> float:
        """Return the advantage of the tokens that a turn sampled."""
        return self.by_turn[turn] if self.by_turn else self.whole


def carries_signal(group: Sequence[Considered], settings: AdvantageSettings) -> bool:
    """Tell whether a group can be learned from; decided on rewards, not on rounded advantages."""
    if settings.method in WITHOUT_GROUP:
        return bool(group)
    if len(group) < num_needed(settings):
        return False
    if settings.method == "group_based_per_turn":
        return len({tuple(one.turn_rewards.values()) for one in group}) > 1
    return has_signal(_rewards(group))


def num_needed(settings: AdvantageSettings) -> int:
    """Return how many attempts of a group must be left for it to have a baseline."""
    if settings.method in WITHOUT_GROUP:
        return 1
    return 3 if settings.method == "grpo_passk" and settings.k_form == "analytic" else 2


def assign_credit(
    groups: Sequence[Sequence[Considered]], settings: AdvantageSettings, *, num_attempts: int
) -> tuple[tuple[Credit, ...], ...]:
    """Return the credit of each attempt of a step's groups.

    Args:
        groups: Those that carry signal.
        settings: How rewards become advantages.
        num_attempts: Attempts of all groups of the step, those without signal included.

    Raises:
        TrainingError: the rewards do not suit the method.
    """
    if not groups:
        return ()
    if settings.method == "group_based_per_turn":
        return tuple(_per_turn(group, settings) for group in groups)
    if settings.method == "monte_carlo":
        return tuple(tuple(_credit(one, monte_carlo(_turns(one), gamma=settings.gamma)) for one in group)
                     for group in groups)  # fmt: skip
    if settings.method in ("reinforce_pp", "reinforce_pp_baseline"):
        return _over_the_step(groups, settings)
    scale = 1.0
    if settings.method == "gpg":
        scale = gpg_scale(num_attempts=num_attempts, num_live_attempts=sum(map(len, groups)))
    return tuple(_whole(group, scale * _of_group(group, settings)) for group in groups)


def _of_group(group: Sequence[Considered], settings: AdvantageSettings) -> Tensor:
    rewards_G = _rewards(group)
    match settings.method:
        case "rloo":
            return rloo(rewards_G)
        case "opo":
            return opo(rewards_G, torch.tensor([one.attempt.num_sampled_tokens for one in group]))
        case "gpg":
            return group_based(rewards_G, normalise=False)
        case "grpo_passk":
            return _best_of_k(rewards_G, settings)
        case _:
            return group_based(rewards_G, normalise=settings.normalization)


def _best_of_k(rewards_G: Tensor, settings: AdvantageSettings) -> Tensor:
    # Failed attempts leave a group smaller than k was chosen for.
    n = rewards_G.numel()
    if settings.k_form == "max_minus_second":
        return max_minus_second(rewards_G)
    if settings.k_form == "subset":
        return grpo_passk(rewards_G, k=min(settings.k, n))
    try:
        return grpo_passk_analytic(rewards_G, k=min(settings.k, n - 1))
    except ValueError as error:
        raise TrainingError(f"{error}: set algorithm.advantage_k_form = 'subset'; no weight was changed") from error


def _per_turn(group: Sequence[Considered], settings: AdvantageSettings) -> tuple[Credit, ...]:
    advantages = group_based_per_turn(
        [_turns(one) for one in group], gamma=settings.gamma, normalise=settings.normalization
    )
    return tuple(_credit(one, advantages_U) for one, advantages_U in zip(group, advantages, strict=True))


def _over_the_step(
    groups: Sequence[Sequence[Considered]], settings: AdvantageSettings
) -> tuple[tuple[Credit, ...], ...]:
    rewards = [_rewards(group) for group in groups]
    centred = group_centred(rewards) if settings.method == "reinforce_pp_baseline" else rewards
    values = [value for values_G in centred for value in values_G.unsqueeze(1)]
    lengths = [one.attempt.num_sampled_tokens for group in groups for one in group]
    normalised = iter(standardise(values, lengths))
    return tuple(_whole(group, torch.cat([next(normalised) for _ in group])) for group in groups)


def _whole(group: Sequence[Considered], advantages_G: Tensor) -> tuple[Credit, ...]:
    return tuple(
        Credit(attempt=one.attempt, by_turn={}, whole=advantage)
        for one, advantage in zip(group, advantages_G.tolist(), strict=True)
    )


def _credit(one: Considered, advantages_U: Tensor) -> Credit:
    values = advantages_U.tolist()
    return Credit(attempt=one.attempt, by_turn=dict(zip(one.turn_rewards, values, strict=True)), whole=values[0])


def _rewards(group: Sequence[Considered]) -> Tensor:
    return torch.tensor([one.reward for one in group], dtype=torch.float64)


def _turns(one: Considered) -> Tensor:
    return torch.tensor(list(one.turn_rewards.values()), dtype=torch.float64)
