"""The advantage methods side by side: ours and the definition of each, over one kind of group.

A group here has rewards per turn and sampled tokens per attempt; a method takes what it needs. Results are lists per
attempt: one value, or one per turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from algorithms import definitions
from turnwright.algorithms.advantages import gpg_scale, group_based, opo, rloo
from turnwright.algorithms.passk import grpo_passk, grpo_passk_analytic, max_minus_second
from turnwright.algorithms.reinforce_pp import group_centred, standardise
from turnwright.algorithms.turns import group_based_per_turn, monte_carlo

K = 2
GAMMA = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt: what it earned and how much it said."""

    turns: tuple[float, ...]
    """Reward of each turn."""
    length: int = 1
    """Sampled tokens."""

    @property
    def reward(self) -> float:
        """R."""
        return sum(self.turns)


Values = list[list[float]]
Method = Callable[[Sequence[Tried]], Values]


def tensor(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _whole(function: Callable[[torch.Tensor], torch.Tensor]) -> Method:
    return lambda group: [[value] for value in function(tensor([one.reward for one in group])).tolist()]


def _per_turn(gamma: float, normalise: bool) -> Method:
    return lambda group: [
        values_U.tolist()
        for values_U in group_based_per_turn([tensor(one.turns) for one in group], gamma=gamma, normalise=normalise)
    ]


def _over_the_step(group: Sequence[Tried], *, baseline: bool) -> Values:
    rewards_G = tensor([one.reward for one in group])
    (values_G,) = group_centred([rewards_G]) if baseline else (rewards_G,)
    return [values_T.tolist() for values_T in standardise(list(values_G[:, None]), [one.length for one in group])]


OURS: dict[str, Method] = {
    "group_based": _whole(lambda rewards_G: group_based(rewards_G, normalise=True)),
    "group_based, not normalised": _whole(lambda rewards_G: group_based(rewards_G, normalise=False)),
    "group_based_per_turn": _per_turn(1.0, True),
    "group_based_per_turn, not normalised": _per_turn(1.0, False),
    "group_based_per_turn, discounted": _per_turn(GAMMA, False),
    "monte_carlo": lambda group: [monte_carlo(tensor(one.turns), gamma=GAMMA).tolist() for one in group],
    "rloo": _whole(rloo),
    "opo": lambda group: [
        [value]
        for value in opo(tensor([one.reward for one in group]), torch.tensor([one.length for one in group])).tolist()
    ],
    # Beside each attempt of the group stands one in a group without signal.
    "gpg": _whole(
        lambda rewards_G: (
            gpg_scale(num_attempts=2 * len(rewards_G), num_live_attempts=len(rewards_G))
            * group_based(rewards_G, normalise=False)
        )
    ),
    "reinforce_pp": lambda group: _over_the_step(group, baseline=False),
    "reinforce_pp_baseline": lambda group: _over_the_step(group, baseline=True),
    "grpo_passk": _whole(lambda rewards_G: grpo_passk(rewards_G, k=K)),
    "grpo_passk, max_minus_second": _whole(max_minus_second),
}
ANALYTIC = "grpo_passk, analytic"
"""Takes rewards 0 and 1 only."""


def ours_analytic(group: Sequence[Tried]) -> Values:
    return _whole(lambda rewards_G: grpo_passk_analytic(rewards_G, k=K))(group)


def by_definition(name: str, group: Sequence[Tried]) -> Values:
    """Return what the formula of a method gives."""
    R, turns = [one.reward for one in group], [one.turns for one in group]
    lengths = [one.length for one in group]
    match name:
        case "group_based_per_turn" | "group_based_per_turn, not normalised":
            return definitions.group_based_per_turn(turns, gamma=1.0, normalise=name == "group_based_per_turn")
        case "group_based_per_turn, discounted":
            return definitions.group_based_per_turn(turns, gamma=GAMMA, normalise=False)
        case "monte_carlo":
            return [definitions.returns(r, gamma=GAMMA) for r in turns]
        case "reinforce_pp" | "reinforce_pp_baseline":
            values = definitions.group_based(R, normalise=False) if name == "reinforce_pp_baseline" else R
            tokens = [[value] * length for value, length in zip(values, lengths, strict=True)]
            return [standard[:1] for standard in definitions.over_the_step(tokens)]
    found = {
        "group_based": lambda: definitions.group_based(R, normalise=True),
        "group_based, not normalised": lambda: definitions.group_based(R, normalise=False),
        "rloo": lambda: definitions.rloo(R),
        "opo": lambda: definitions.opo(R, lengths),
        "gpg": lambda: [2 * value for value in definitions.group_based(R, normalise=False)],
        "grpo_passk": lambda: definitions.best_of(R, K),
        "grpo_passk, max_minus_second": lambda: definitions.best_less_second(R),
        ANALYTIC: lambda: definitions.best_of_standardised(R, K),
    }[name]()
    return [[value] for value in found]


def _attempts(rewards: st.SearchStrategy[float], *, turns: int) -> st.SearchStrategy[Tried]:
    lists = st.lists(rewards, min_size=1, max_size=turns).map(tuple)
    return st.builds(Tried, turns=lists, length=st.integers(1, 9))


GROUPS = st.lists(_attempts(st.integers(-16, 16).map(lambda value: value / 4), turns=3), min_size=2, max_size=6)
RIGHT_OR_WRONG = st.lists(_attempts(st.sampled_from([0.0, 1.0]), turns=1), min_size=3, max_size=7)
