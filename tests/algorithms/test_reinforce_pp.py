"""REINFORCE++: normalised over the tokens of a step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.reinforce_pp import group_centred, penalised_returns, standardise


def values(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_the_penalty_counts_what_is_still_to_come():
    # 1 - 0.5 * (0.1 + 0.2 + 0.4), 1 - 0.5 * (0.2 + 0.4), 1 - 0.5 * 0.4
    found = penalised_returns(1.0, values(0.1, 0.2, 0.4), kl_coefficient=0.5)
    assert found.tolist() == pytest.approx([0.65, 0.7, 0.8])


def test_an_attempt_counts_by_its_tokens():
    # Tokens 1, 1, 1, -3: mean 0, squares 3 + 9 = 12, deviation sqrt(12 / 3) = 2
    long, short = standardise([values(1), values(-3)], [3, 1])
    assert (long.item(), short.item()) == pytest.approx((0.5, -1.5), abs=1e-5)


def test_a_value_per_token():
    # Tokens 0, 2, 4: mean 2, deviation 2
    (first, second) = standardise([values(0, 2), values(4)], [2, 1])
    assert (first.tolist(), second.tolist()) == (pytest.approx([-1, 0], abs=1e-5), pytest.approx([1], abs=1e-5))


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 9)), min_size=2, max_size=8), st.floats(-3, 3))
def test_over_the_tokens_the_mean_is_0_the_deviation_1_and_a_shift_changes_nothing(step: list, shift: float):
    rewards, lengths = zip(*step, strict=True)
    found = standardise([values(reward) for reward in rewards], lengths)
    moved = standardise([values(reward + shift) for reward in rewards], lengths)
    assert [one.item() for one in moved] == pytest.approx([one.item() for one in found], abs=1e-4)
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
