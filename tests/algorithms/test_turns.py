"""Advantages per turn, worked out by hand and against their definition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.advantages import group_based
from turnwright.algorithms.turns import group_based_per_turn, monte_carlo, returns_to_go

TURNS = st.lists(st.lists(st.integers(-8, 8), min_size=1, max_size=5), min_size=2, max_size=5)


def turns(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_returns_are_discounted_once_per_turn():
    # 4; 2 + 0.5 * 4 = 4; 1 + 0.5 * 4 = 3
    assert returns_to_go(turns(1, 2, 4), gamma=0.5).tolist() == [3.0, 4.0, 4.0]
    assert monte_carlo(turns(1, 2, 4), gamma=1.0).tolist() == [7.0, 6.0, 4.0]
    assert monte_carlo(turns(1, 2, 4), gamma=0.0).tolist() == [1.0, 2.0, 4.0]


def test_a_turn_is_compared_with_the_same_turn_of_the_others():
    # Returns (1, 1), (3, 2) and (2): means 2 at turn 0, 1.5 at turn 1.
    first, second, third = group_based_per_turn([turns(0, 1), turns(1, 2), turns(2)], gamma=1.0, normalise=False)
    assert (first.tolist(), second.tolist(), third.tolist()) == ([-1.0, -0.5], [1.0, 0.5], [0.0])


def test_an_attempt_alone_at_a_turn_keeps_its_advantage_over_whole_attempts():
    # Returns (6, 5, 3) and (2): alone at turns 1 and 2, ahead by 2 at turn 0.
    long, short = group_based_per_turn([turns(1, 2, 3), turns(2)], gamma=1.0, normalise=False)
    assert (long.tolist(), short.tolist()) == ([2.0, 2.0, 2.0], [-2.0])


@given(TURNS, st.booleans())
def test_turn_0_without_discount_is_group_based_on_the_sums(values: list[list[int]], normalise: bool):
    advantages = group_based_per_turn([turns(*one) for one in values], gamma=1.0, normalise=normalise)
    whole = group_based(turns(*(sum(one) for one in values)), normalise=normalise)
    assert [one[0].item() for one in advantages] == pytest.approx(whole.tolist(), abs=1e-9)


@given(TURNS, st.floats(0, 1))
def test_at_each_turn_that_several_reach_the_advantages_sum_to_zero(values: list[list[int]], gamma: float):
    advantages = group_based_per_turn([turns(*one) for one in values], gamma=gamma, normalise=False)
    for turn in range(5):
        there = [one[turn].item() for one in advantages if one.numel() > turn]
        if len(there) > 1:
            assert sum(there) == pytest.approx(0, abs=1e-9)


def test_normalised_by_the_deviation_at_the_turn():
    # Returns 0 and 4: mean 2, sample deviation sqrt(8).
    first, second = group_based_per_turn([turns(0), turns(4)], gamma=1.0, normalise=True)
    assert (first.item(), second.item()) == pytest.approx((-2 / (8**0.5 + 1e-6), 2 / (8**0.5 + 1e-6)))


@pytest.mark.parametrize("group", [[], [turns(1)], [turns(1), turns()]])
def test_too_few_attempts_or_turns(group: list[torch.Tensor]):
    with pytest.raises(ValueError, match="at least 2 surviving attempts with a turn each"):
        group_based_per_turn(group, gamma=1.0, normalise=False)
