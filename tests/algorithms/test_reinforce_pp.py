"""REINFORCE++: normalised over the tokens of a step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms import definitions
from turnwright.algorithms.reinforce_pp import group_centred, penalised_returns, standardise


def values(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_the_penalty_counts_what_is_still_to_come():
    # 1 - 0.5 * (0.1 + 0.2 + 0.4), 1 - 0.5 * (0.2 + 0.4), 1 - 0.5 * 0.4
    found = penalised_returns(1.0, values(0.1, 0.2, 0.4), kl_coefficient=0.5)
    assert found.tolist() == pytest.approx([0.65, 0.7, 0.8])


@given(st.floats(-3, 3), st.lists(st.floats(-2, 2), min_size=1, max_size=8), st.floats(0, 2))
def test_the_penalty_equals_its_definition(reward: float, kl: list[float], beta: float):
    found = penalised_returns(reward, values(*kl), kl_coefficient=beta).tolist()
    assert found == pytest.approx(definitions.penalised(reward, kl, beta=beta), abs=1e-9)
    assert penalised_returns(reward, values(*kl), kl_coefficient=0.0).tolist() == [reward] * len(kl)


@given(st.lists(st.lists(st.integers(-12, 12), min_size=1, max_size=5), min_size=2, max_size=5))
def test_values_per_token_equal_their_definition(step: list[list[int]]):
    """Integers, so that deviations are 0 or far from the epsilon."""
    found = standardise([values(*one) for one in step], [len(one) for one in step])
    for ours, expected in zip(found, definitions.over_the_step(step), strict=True):
        assert ours.tolist() == pytest.approx(expected, abs=1e-6)


def test_an_attempt_counts_by_its_tokens():
    # Tokens 1, 1, 1, -3: mean 0, squares 3 + 9 = 12, deviation sqrt(12 / 3) = 2
    long, short = standardise([values(1), values(-3)], [3, 1])
    assert (long.item(), short.item()) == pytest.approx((0.5, -1.5), abs=1e-5)


def test_a_value_per_token():
    # Tokens 0, 2, 4: mean 2, deviation 2
    (first, second) = standardise([values(0, 2), values(4)], [2, 1])
    assert (first.tolist(), second.tolist()) == (pytest.approx([-1, 0], abs=1e-5), pytest.approx([1], abs=1e-5))


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 9)), min_size=2, max_size=8))
def test_over_the_tokens_the_mean_is_0_and_the_deviation_1(step: list):
    rewards, lengths = zip(*step, strict=True)
    found = standardise([values(reward) for reward in rewards], lengths)
    tokens = torch.cat([one.expand(length) for one, length in zip(found, lengths, strict=True)])
    assert tokens.mean().item() == pytest.approx(0, abs=1e-9)
    if len(set(rewards)) > 1:
        assert tokens.std(correction=1).item() == pytest.approx(1, abs=1e-4)


def test_the_baseline_is_the_mean_of_the_group():
    first, second = group_centred([values(1, 3), values(0, 0, 6)])
    assert (first.tolist(), second.tolist()) == ([-1.0, 1.0], [-2.0, -2.0, 4.0])
    with pytest.raises(ValueError, match="at least 2 surviving attempts, got 1"):
        group_centred([values(1)])


def test_what_cannot_be_normalised():
    with pytest.raises(ValueError, match="needs 1 or 3 values: got 2"):
        standardise([values(1, 2)], [3])
    with pytest.raises(ValueError, match="at least 2: got 1"):
        standardise([values(1)], [1])


def test_equal_values_are_exactly_0():
    """Whatever their mean is rounded to."""
    found = standardise([values(0.1), values(0.1, 0.1), values(0.1)], [4, 2, 7])
    assert [one.tolist() for one in found] == [[0.0], [0.0, 0.0], [0.0]]
