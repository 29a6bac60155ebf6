import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.advantages import group_based, has_signal

REWARDS = st.lists(st.integers(-20, 20), min_size=2, max_size=12).map(lambda values: [value / 4 for value in values])


def rewards(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_group_based_subtracts_the_mean():
    # mean(1, 0, 0, 1, 0.5) = 0.5
    advantages = group_based(rewards(1, 0, 0, 1, 0.5), normalise=False)
    assert advantages.tolist() == pytest.approx([0.5, -0.5, -0.5, 0.5, 0.0], abs=1e-12)


def test_group_based_divides_by_the_sample_standard_deviation():
    # mean(2, 4, 9) = 5, squares 9 + 1 + 16 = 26, std = sqrt(26 / 2) = 3.605551
    advantages = group_based(rewards(2, 4, 9), normalise=True)
    std = math.sqrt(13)
    expected = [-3 / (std + 1e-6), -1 / (std + 1e-6), 4 / (std + 1e-6)]
    assert advantages.tolist() == pytest.approx(expected, rel=1e-12)
    assert advantages.tolist() == pytest.approx([-0.832050, -0.277350, 1.109400], abs=1e-5)


def test_equal_rewards_give_zero_and_not_noise_over_noise():
    assert group_based(rewards(0.1, 0.1, 0.1, 0.1), normalise=True).abs().max() < 1e-9


@pytest.mark.parametrize("values", [(), (1.0,)])
def test_a_lone_survivor_has_no_baseline(values: tuple[float, ...]):
    with pytest.raises(ValueError, match=f"at least 2 surviving attempts, got {len(values)}"):
        group_based(rewards(*values), normalise=False)


@given(REWARDS, st.booleans(), st.floats(-5, 5))
def test_advantages_sum_to_zero_and_ignore_a_shift(values: list[float], normalise: bool, shift: float):
    advantages = group_based(rewards(*values), normalise=normalise)
    assert advantages.sum().item() == pytest.approx(0, abs=1e-9)
    moved = group_based(rewards(*(value + shift for value in values)), normalise=normalise)
    # The epsilon in the divisor turns rounding of equal rewards into at most rounding / 1e-6.
    assert moved.tolist() == pytest.approx(advantages.tolist(), abs=1e-7)


@given(REWARDS, st.floats(0.5, 8))
def test_normalised_advantages_ignore_the_scale_of_rewards_with_signal(values: list[float], scale: float):
    if len(set(values)) < 2:
        return
    one = group_based(rewards(*values), normalise=True)
    scaled = group_based(rewards(*(value * scale for value in values)), normalise=True)
    assert scaled.tolist() == pytest.approx(one.tolist(), rel=1e-4, abs=1e-6)


def test_signal_is_decided_on_rewards():
    assert not has_signal(rewards(0.3, 0.3, 0.3))
    assert has_signal(rewards(0.3, 0.3, 0.3 + 1e-12))
