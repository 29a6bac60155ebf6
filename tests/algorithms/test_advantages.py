import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.advantages import gpg_scale, group_based, has_signal, opo, rloo

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


@given(REWARDS, st.booleans())
def test_advantages_of_a_group_sum_to_zero(values: list[float], normalise: bool):
    assert group_based(rewards(*values), normalise=normalise).sum().item() == pytest.approx(0, abs=1e-9)
    assert rloo(rewards(*values)).sum().item() == pytest.approx(0, abs=1e-9)


def test_signal_is_decided_on_rewards():
    assert not has_signal(rewards(0.3, 0.3, 0.3))
    assert has_signal(rewards(0.3, 0.3, 0.3 + 1e-12))


def test_rloo_subtracts_the_mean_of_the_others():
    # Others of 1: mean(4, 7) = 5.5; of 4: mean(1, 7) = 4; of 7: mean(1, 4) = 2.5
    assert rloo(rewards(1, 4, 7)).tolist() == pytest.approx([-4.5, 0.0, 4.5])


def test_opo_weighs_the_baseline_by_length():
    # (10 * 1 + 30 * 0 + 60 * 0.5) / 100 = 0.4
    assert opo(rewards(1, 0, 0.5), torch.tensor([10, 30, 60])).tolist() == pytest.approx([0.6, -0.4, 0.1])


@given(REWARDS, st.integers(1, 50))
def test_opo_is_the_plain_mean_for_equal_lengths(values: list[float], length: int):
    expected = group_based(rewards(*values), normalise=False).tolist()
    assert opo(rewards(*values), torch.full((len(values),), length)).tolist() == pytest.approx(expected, abs=1e-9)


@given(REWARDS, st.data())
def test_opo_weighted_by_length_sums_to_zero(values: list[float], data: st.DataObject):
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 99), min_size=len(values), max_size=len(values))))
    assert (opo(rewards(*values), lengths) * lengths).sum().item() == pytest.approx(0, abs=1e-6)


def test_opo_refuses_an_attempt_without_tokens():
    with pytest.raises(ValueError, match=r"at least 1 each: got tensor\(\[3, 0\]\)"):
        opo(rewards(1, 0), torch.tensor([3, 0]))


def test_gpg_makes_up_for_groups_without_signal():
    assert gpg_scale(num_attempts=32, num_live_attempts=8) == 4.0
    with pytest.raises(ValueError, match="got 0"):
        gpg_scale(num_attempts=32, num_live_attempts=0)


@pytest.mark.parametrize("alone", [lambda r: rloo(r), lambda r: opo(r, torch.tensor([3]))])
def test_every_baseline_needs_two_survivors(alone):
    with pytest.raises(ValueError, match="at least 2 surviving attempts, got 1"):
        alone(rewards(1))
