"""What holds of every advantage: it equals its definition, and which changes of a group it does not notice.

Rewards are multiples of 1/4, so that equal rewards are equal in floating point too.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from algorithms.methods import ANALYTIC, GROUPS, OURS, RIGHT_OR_WRONG, Tried, Values, by_definition, ours_analytic
from turnwright.algorithms.advantages import gpg_scale, has_signal
from turnwright.algorithms.reinforce_pp import group_centred, standardise

LAW = settings(max_examples=10)
"""Thirteen methods take each."""
NAMES = pytest.mark.parametrize("name", OURS)
IGNORES_SCALE = ("group_based", "group_based_per_turn", "reinforce_pp", "reinforce_pp_baseline")
NOTICES_A_SHIFT = ("monte_carlo", "group_based_per_turn, discounted")
NOTICES_LENGTHS = ("opo", "reinforce_pp", "reinforce_pp_baseline")
NOTICES_DIRECTION = ("grpo_passk", "grpo_passk, max_minus_second")
"""The best of k is not the worst of k of the opposite: rewards with the other sign give no opposite advantages."""
EXAMPLE = (
    Tried(turns=(1.0, 0.0), length=2), Tried(turns=(0.5,), length=7), Tried(turns=(-1.0, 3.0, 0.25), length=4),
)  # fmt: skip


def close(found: Values, expected: Values, tolerance: float = 1e-9) -> bool:
    pairs = [(a, b) for one, other in zip(found, expected, strict=True) for a, b in zip(one, other, strict=True)]
    return all(abs(a - b) <= tolerance * max(1.0, abs(b)) for a, b in pairs)


def times(values: Values, factor: float) -> Values:
    return [[factor * value for value in one] for one in values]


def shifted(group: Sequence[Tried], by: float) -> list[Tried]:
    """Add to what each attempt earned at its end."""
    return [replace(one, turns=(*one.turns[:-1], one.turns[-1] + by)) for one in group]


def scaled(group: Sequence[Tried], by: float) -> list[Tried]:
    return [replace(one, turns=tuple(by * reward for reward in one.turns)) for one in group]


def has_spread(name: str, group: Sequence[Tried]) -> bool:
    """Tell whether no deviation is 0, where scale meets the epsilon that keeps it from dividing."""
    if name == "group_based_per_turn":
        returns = [[sum(one.turns[t:]) for one in group if len(one.turns) > t] for t in range(3)]
        return all(len(there) < 2 or len(set(there)) > 1 for there in returns)
    return len({one.reward for one in group}) > 1


@NAMES
@LAW
@given(group=GROUPS)
def test_it_equals_its_definition(name: str, group: list[Tried]) -> None:
    assume(name not in NOTICES_LENGTHS or sum(one.length for one in group) > 1)
    assert close(OURS[name](group), by_definition(name, group), 1e-6)


@given(RIGHT_OR_WRONG)
def test_the_analytic_form_equals_its_definition(group: list[Tried]) -> None:
    assert close(ours_analytic(group), by_definition(ANALYTIC, group), 1e-6)


@given(RIGHT_OR_WRONG, st.randoms(use_true_random=False))
def test_the_order_of_attempts_does_not_matter_to_the_analytic_form(group: list[Tried], random) -> None:
    order = random.sample(range(len(group)), len(group))
    assert close(ours_analytic([group[i] for i in order]), [ours_analytic(group)[i] for i in order])


@NAMES
@LAW
@given(group=GROUPS, data=st.data())
def test_the_order_of_attempts_does_not_matter(name: str, group: list[Tried], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(group))))
    plain = OURS[name](group)
    assert close(OURS[name]([group[i] for i in order]), [plain[i] for i in order])


@pytest.mark.parametrize("name", [name for name in OURS if name not in NOTICES_A_SHIFT])
@LAW
@given(group=GROUPS, by=st.integers(-12, 12))
def test_what_all_attempts_earn_does_not_matter(name: str, group: list[Tried], by: int) -> None:
    assert close(OURS[name](shifted(group, by / 4)), OURS[name](group), 1e-8)


@pytest.mark.parametrize("name", NOTICES_A_SHIFT)
def test_without_a_baseline_or_with_a_discount_it_does(name: str) -> None:
    assert not close(OURS[name](shifted(EXAMPLE, 1.0)), OURS[name](EXAMPLE), 1e-2)


@pytest.mark.parametrize("name", [name for name in OURS if name not in IGNORES_SCALE])
@LAW
@given(group=GROUPS, by=st.floats(0.1, 8))
def test_advantages_are_in_units_of_the_reward(name: str, group: list[Tried], by: float) -> None:
    assert close(OURS[name](scaled(group, by)), times(OURS[name](group), by))


@pytest.mark.parametrize("name", IGNORES_SCALE)
@LAW
@given(group=GROUPS, by=st.floats(0.5, 8))
def test_a_standardised_advantage_has_no_unit(name: str, group: list[Tried], by: float) -> None:
    """Up to the epsilon in the divisor, 1e-6 over a deviation of at least 0.03."""
    assume(has_spread(name, group))
    assert close(OURS[name](scaled(group, by)), OURS[name](group), 1e-4)


@pytest.mark.parametrize("name", [name for name in OURS if name not in NOTICES_DIRECTION])
@LAW
@given(group=GROUPS)
def test_opposite_rewards_have_opposite_advantages(name: str, group: list[Tried]) -> None:
    assert close(OURS[name](scaled(group, -1.0)), times(OURS[name](group), -1.0), 1e-8)


@pytest.mark.parametrize("name", NOTICES_DIRECTION)
def test_the_best_of_k_knows_up_from_down(name: str) -> None:
    assert not close(OURS[name](scaled(EXAMPLE, -1.0)), times(OURS[name](EXAMPLE), -1.0), 1e-2)


@pytest.mark.parametrize("name", OURS)
def test_which_methods_look_at_lengths(name: str) -> None:
    longer = [replace(one, length=one.length + 5 * i) for i, one in enumerate(EXAMPLE)]
    assert close(OURS[name](longer), OURS[name](EXAMPLE)) == (name not in NOTICES_LENGTHS)


@given(GROUPS, st.integers(2, 9))
def test_opo_weighs_shares_of_tokens(group: list[Tried], by: int) -> None:
    assert close(OURS["opo"]([replace(one, length=by * one.length) for one in group]), OURS["opo"](group))


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=4), min_size=1, max_size=6))
def test_gpg_scales_the_mean_over_all_up_to_the_mean_over_those_with_signal(groups: list[list[float]]) -> None:
    live = [rewards for rewards in groups if len(set(rewards)) > 1]
    assume(live)
    assert sum(has_signal(torch.tensor(rewards)) for rewards in groups) == len(live)
    num_attempts, num_live = sum(map(len, groups)), sum(map(len, live))
    alpha = gpg_scale(num_attempts=num_attempts, num_live_attempts=num_live)
    best = [max(rewards) - sum(rewards) / len(rewards) for rewards in live]
    assert alpha * sum(best) / num_attempts == pytest.approx(sum(best) / num_live)


def test_a_shift_of_one_group_is_noticed_by_reinforce_pp_alone() -> None:
    """A task that is easier than the others: its group's mean takes that away, the mean of the step does not."""
    easy, hard = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 1.0])

    def advantages(groups: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(standardise([value for rewards_G in groups for value in rewards_G[:, None]], [1] * 6))

    assert not torch.allclose(advantages([easy, hard]), advantages([easy + 9, hard]), atol=1e-2)
    centred, moved = (advantages(list(group_centred(groups))) for groups in ([easy, hard], [easy + 9, hard]))
    torch.testing.assert_close(moved, centred, rtol=0, atol=1e-5)
