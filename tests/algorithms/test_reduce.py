import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.reduce import Aggregation, token_weight


@given(st.sampled_from(["token", "rollout"]), st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_the_weights_of_an_update_sum_to_one(aggregation: Aggregation, lengths: list[int]):
    total = sum(
        length * token_weight(aggregation, num_tokens=sum(lengths), num_attempts=len(lengths), attempt_tokens=length)
        for length in lengths
    )
    assert total == pytest.approx(1.0)


def test_token_weighs_tokens_alike_and_rollout_weighs_attempts_alike():
    # Attempts of 2 and 8 tokens.
    assert token_weight("token", num_tokens=10, num_attempts=2, attempt_tokens=2) == 0.1
    assert token_weight("token", num_tokens=10, num_attempts=2, attempt_tokens=8) == 0.1
    assert token_weight("rollout", num_tokens=10, num_attempts=2, attempt_tokens=2) == 0.25
    assert token_weight("rollout", num_tokens=10, num_attempts=2, attempt_tokens=8) == 0.0625
