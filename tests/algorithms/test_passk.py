"""The best of k attempts: worked by hand, for every k; what it is an estimate of is in test_expected_gradients.py."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms import definitions
from turnwright.algorithms.passk import grpo_passk, grpo_passk_analytic, max_minus_second

REWARDS = st.lists(st.integers(-8, 8), min_size=2, max_size=7).map(lambda values: [value / 4 for value in values])


def rewards(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_worked_by_hand():
    # k = 2 of (0, 1, 3): with 0: 0, 0; with 1: gains 1 over 0, 0 over 3; with 3: 3 over 0, 2 over 1.
    assert grpo_passk(rewards(0, 1, 3), k=2).tolist() == pytest.approx([0.0, 0.5, 2.5])
    # k = 3: the only subset; 3 exceeds the second by 2.
    assert grpo_passk(rewards(3, 0, 1), k=3).tolist() == pytest.approx([2.0, 0.0, 0.0])
    assert max_minus_second(rewards(0, 3, 1)).tolist() == pytest.approx([0.0, 2.0, 0.0])


def test_two_that_are_best_add_nothing_to_each_other():
    assert max_minus_second(rewards(1, 1, 0)).tolist() == [0.0, 0.0, 0.0]


def test_the_analytic_form_worked_by_hand():
    # n = 4, w = 2, k = 2: C(2,2) / C(4,2) = 1/6 of the pairs miss, s = sqrt(5/36); of those with a wrong one 1/3 do.
    s = (5 / 36) ** 0.5 + 1e-6
    right, wrong = (1 / 6) / s, (1 / 6 - 1 / 3) / s
    assert grpo_passk_analytic(rewards(1, 0, 0, 1), k=2).tolist() == pytest.approx([right, wrong, wrong, right])


def test_the_analytic_form_has_nothing_to_gain_where_every_subset_succeeds():
    assert grpo_passk_analytic(rewards(1, 1, 1, 0), k=2).tolist() == [0.0] * 4


@given(REWARDS)
def test_every_k_equals_its_definition(values: list[float]):
    for k in range(2, len(values) + 1):
        expected = definitions.best_of(values, k)
        assert grpo_passk(rewards(*values), k=k).tolist() == pytest.approx(expected, abs=1e-9)
        assert (grpo_passk(rewards(*values), k=k) >= 0).all()


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=7))
def test_every_k_of_the_analytic_form_equals_its_definition(values: list[float]):
    for k in range(2, len(values)):
        expected = definitions.best_of_standardised(values, k)
        assert grpo_passk_analytic(rewards(*values), k=k).tolist() == pytest.approx(expected, abs=1e-9)


@given(st.integers(3, 9), st.data())
def test_the_analytic_form_is_standardised_over_attempts_of_subsets(n: int, data: st.DataObject):
    """Summed over attempts it is 0: the mean over subsets, each counted for its members, is subtracted."""
    wrong, k = data.draw(st.integers(1, n - 1)), data.draw(st.integers(2, n - 1))
    advantages = grpo_passk_analytic(rewards(*[0.0] * wrong, *[1.0] * (n - wrong)), k=k)
    assert advantages.sum().item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("k", [0, 1, 4])
def test_k_out_of_range(k: int):
    with pytest.raises(ValueError, match=f"between 2 and the 3 surviving attempts of a group: got {k}"):
        grpo_passk(rewards(1, 0, 0), k=k)


def test_what_the_analytic_form_refuses():
    with pytest.raises(ValueError, match="advantage_k < n: got k = n = 3"):
        grpo_passk_analytic(rewards(1, 0, 0), k=3)
    with pytest.raises(ValueError, match="needs rewards 0 and 1"):
        grpo_passk_analytic(rewards(1, 0.5, 0), k=2)
