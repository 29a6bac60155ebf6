"""Credit: the rewards of a step's groups in, an advantage for each token of each attempt out.

    groups of a step --> signal? --> advantages of one group, or over the tokens of the whole step --> credit

A group without signal (all its rewards equal, or nobody the better for them) has no advantages. ``monte_carlo`` and
``reinforce_pp`` compare with nobody in the group: for them every attempt with a sampled token counts. An advantage is
that of the attempt, of the turn, or, where the divergence to the reference is in the reward, of the token.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast, get_args

import torch
from torch import Tensor

from turnwright.algorithms.advantages import gpg_scale, group_based, has_signal, opo, rloo
from turnwright.algorithms.passk import grpo_passk, grpo_passk_analytic, max_minus_second
from turnwright.algorithms.reinforce_pp import group_centred, penalised_returns, standardise
from turnwright.algorithms.turns import group_based_per_turn, monte_carlo
from turnwright.config.algorithm import AdvantageMethod, PasskForm
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableAttempt
from turnwright.core.trajectory import Row
from turnwright.learner.extensions import CustomAdvantage, load_advantage

WITHOUT_GROUP: tuple[AdvantageMethod, ...] = ("monte_carlo", "reinforce_pp")
"""Methods that compare an attempt with no other of its group."""
ROUNDING = 1e-12
"""Difference between returns, relative to the largest reward of the group, that is but the order of a sum."""

ByRow = Mapping[EpisodeKey, Sequence[Tensor]]
"""By attempt: one tensor [t] per row that has trained tokens, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageSettings:
    """Names and meaning as in the [algorithm] section."""

    method: AdvantageMethod | CustomAdvantage = "group_based"
    normalization: bool = True
    gamma: float = 1.0
    k: int = 4
    k_form: PasskForm = "subset"
    kl_coefficient: float = 0.0
    """Of the divergence to the reference as a part of the reward; reinforce_pp alone has one."""


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
    """The advantage of an attempt: of all of it, of each turn, or of each token."""

    attempt: TrainableAttempt
    whole: float = 0.0
    """Where neither turns nor tokens have their own."""
    by_turn: Mapping[int, float] = field(default_factory=dict[int, float])
    by_row: tuple[tuple[float, ...], ...] = ()
    """Per token, of each row that has trained tokens."""

    def of_row(self, number: int) -> tuple[float, ...]:
        """Return the advantages of the trained tokens of a row, by its number among those that have some."""
        if self.by_row:
            return self.by_row[number]
        turns = (turn for turn in trained_rows(self.attempt)[number].turn_index if turn >= 0)
        return tuple(self.by_turn[turn] if self.by_turn else self.whole for turn in turns)

    @property
    def values(self) -> tuple[float, ...]:
        """What the attempt has: one advantage, or one per turn or token."""
        by_token = tuple(value for row in self.by_row for value in row)
        return by_token or tuple(self.by_turn.values()) or (self.whole,)


def find_advantage(name: str) -> AdvantageMethod | CustomAdvantage:
    """Return a method by its name, or load the one at a place; raises ConfigError."""
    return cast(AdvantageMethod, name) if name in get_args(AdvantageMethod) else load_advantage(name)


def trained_rows(attempt: TrainableAttempt) -> tuple[Row, ...]:
    """Return the rows of an attempt that have trained tokens."""
    return tuple(row for row in attempt.rows if row.num_trained_tokens)


def carries_signal(group: Sequence[Considered], settings: AdvantageSettings) -> bool:
    """Tell whether a group can be learned from; decided on rewards, not on rounded advantages."""
    if settings.method in WITHOUT_GROUP:
        return bool(group)
    if len(group) < num_needed(settings):
        return False
    if settings.method == "group_based_per_turn":
        return _returns_differ(group, settings)
    if not has_signal(_rewards(group)):
        return False
    if settings.method == "grpo_passk" or isinstance(settings.method, CustomAdvantage):
        # The best of k may be reached whoever is left out.
        return bool(_of_group(group, settings).any())
    return True


def _returns_differ(group: Sequence[Considered], settings: AdvantageSettings) -> bool:
    turns = [_turns(one) for one in group]
    advantages = group_based_per_turn(turns, gamma=settings.gamma, normalise=False)
    return bool(torch.cat(advantages).abs().max() > ROUNDING * torch.cat(turns).abs().max())


def num_needed(settings: AdvantageSettings) -> int:
    """Return how many attempts of a group must be left for it to have a baseline."""
    if settings.method in WITHOUT_GROUP:
        return 1
    return 3 if settings.method == "grpo_passk" and settings.k_form == "analytic" else 2


def assign_credit(
    groups: Sequence[Sequence[Considered]],
    settings: AdvantageSettings,
    *,
    num_attempts: int,
    divergence: ByRow | None = None,
) -> tuple[tuple[Credit, ...], ...]:
    """Return the credit of each attempt of a step's groups.

    Args:
        groups: Those that carry signal.
        settings: How rewards become advantages.
        num_attempts: Attempts of all groups of the step, those without signal included.
        divergence: log p - log ref of each trained token, where it is a part of the reward.

    Raises:
        TrainingError: The rewards do not suit the method, or an advantage cannot be trained with.
    """
    if not groups:
        return ()
    found = _assign(groups, settings, num_attempts, divergence or {})
    for credits in found:
        _require_usable(credits, settings)
    return found


def _assign(
    groups: Sequence[Sequence[Considered]], settings: AdvantageSettings, num_attempts: int, divergence: ByRow
) -> tuple[tuple[Credit, ...], ...]:
    if settings.method == "group_based_per_turn":
        return tuple(_per_turn(group, settings) for group in groups)
    if settings.method == "monte_carlo":
        return tuple(
            tuple(_of_turns(one, monte_carlo(_turns(one), gamma=settings.gamma)) for one in group) for group in groups
        )
    if settings.method in ("reinforce_pp", "reinforce_pp_baseline"):
        return _over_the_step(groups, settings, divergence)
    scale = 1.0
    if settings.method == "gpg":
        scale = gpg_scale(num_attempts=num_attempts, num_live_attempts=sum(map(len, groups)))
    return tuple(_whole(group, scale * _of_group(group, settings)) for group in groups)


def _require_usable(credits: Sequence[Credit], settings: AdvantageSettings) -> None:
    """Raise TrainingError for advantages of a group that are not finite, or all 0 though its rewards differ."""
    values = [value for credit in credits for value in credit.values]
    rewards = [credit.attempt.reward for credit in credits]
    what = f"the advantages of the attempts at task {credits[0].attempt.key.task_id!r}, rewards {rewards},"
    if not all(map(math.isfinite, values)):
        raise TrainingError(f"{what} must be finite numbers: got {values}; no weight was changed by this batch")
    if settings.method not in WITHOUT_GROUP and not bool(torch.tensor(values, dtype=torch.float32).any()):
        raise TrainingError(
            f"{what} are all 0 in single precision, though the rewards differ: no weight was changed by this batch; "
            "scale the rewards of the environment to about 1"
        )


def _of_group(group: Sequence[Considered], settings: AdvantageSettings) -> Tensor:
    rewards_G = _rewards(group)
    lengths_G = torch.tensor([one.attempt.num_sampled_tokens for one in group])
    match settings.method:
        case CustomAdvantage():
            return settings.method(rewards_G, lengths_G)
        case "rloo":
            return rloo(rewards_G)
        case "opo":
            return opo(rewards_G, lengths_G)
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
    return tuple(_of_turns(one, advantages_U) for one, advantages_U in zip(group, advantages, strict=True))


def _over_the_step(
    groups: Sequence[Sequence[Considered]], settings: AdvantageSettings, divergence: ByRow
) -> tuple[tuple[Credit, ...], ...]:
    lengths = [one.attempt.num_sampled_tokens for group in groups for one in group]
    if divergence:
        values = [_penalised(one, divergence[one.attempt.key], settings) for group in groups for one in group]
    else:
        rewards = [_rewards(group) for group in groups]
        centred = group_centred(rewards) if settings.method == "reinforce_pp_baseline" else rewards
        values = [value for values_G in centred for value in values_G.unsqueeze(1)]
    normalised = iter(standardise(values, lengths))
    return tuple(tuple(_of_tokens(one.attempt, next(normalised)) for one in group) for group in groups)


def _penalised(one: Considered, divergence: Sequence[Tensor], settings: AdvantageSettings) -> Tensor:
    """Return R - beta sum_{s >= t} KL_s for the tokens of an attempt, row after row; s >= t as they were sampled."""
    turns = [turn for row in trained_rows(one.attempt) for turn in row.turn_index if turn >= 0]
    sampled_T = torch.tensor(turns).argsort(stable=True)
    kl_T = torch.cat(list(divergence)).to(torch.float64).cpu()[sampled_T]
    returns_T = penalised_returns(one.reward, kl_T, kl_coefficient=settings.kl_coefficient)
    return torch.empty_like(returns_T).scatter(0, sampled_T, returns_T)


def _of_tokens(attempt: TrainableAttempt, advantages_T: Tensor) -> Credit:
    """Return the credit of an attempt with one advantage, or with one per token."""
    if advantages_T.numel() == 1:
        return Credit(attempt=attempt, whole=advantages_T.item())
    parts = advantages_T.split([row.num_trained_tokens for row in trained_rows(attempt)])
    return Credit(attempt=attempt, by_row=tuple(tuple(part.tolist()) for part in parts))


def _whole(group: Sequence[Considered], advantages_G: Tensor) -> tuple[Credit, ...]:
    return tuple(
        Credit(attempt=one.attempt, whole=advantage)
        for one, advantage in zip(group, advantages_G.tolist(), strict=True)
    )


def _of_turns(one: Considered, advantages_U: Tensor) -> Credit:
    return Credit(attempt=one.attempt, by_turn=dict(zip(one.turn_rewards, advantages_U.tolist(), strict=True)))


def _rewards(group: Sequence[Considered]) -> Tensor:
    return torch.tensor([one.reward for one in group], dtype=torch.float64)


def _turns(one: Considered) -> Tensor:
    return torch.tensor(list(one.turn_rewards.values()), dtype=torch.float64)
