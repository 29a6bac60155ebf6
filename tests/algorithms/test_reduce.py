"""Weights of tokens: by hand, and the sum they make against plain means over tokens and attempts."""

from collections.abc import Callable, Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.reduce import Aggregation, token_weight

CONSTANT = 7
AGGREGATIONS = get_args(Aggregation)
ATTEMPTS = st.lists(st.lists(st.floats(-3, 3), min_size=1, max_size=9), min_size=1, max_size=6)
"""Loss of each token of each attempt."""


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


DEFINITIONS: dict[Aggregation, Callable[[list[list[float]]], float]] = {
    "token": lambda attempts: mean([value for attempt in attempts for value in attempt]),
    "rollout": lambda attempts: mean([mean(attempt) for attempt in attempts]),
    "sequence": lambda attempts: mean([mean(attempt) for attempt in attempts]),
    "constant": lambda attempts: mean([sum(attempt) / CONSTANT for attempt in attempts]),
}


def weights(aggregation: Aggregation, lengths: Sequence[int]) -> list[float]:
    """Return the weight of the tokens of each attempt."""
    return [
        token_weight(
            aggregation,
            num_tokens=sum(lengths),
            num_attempts=len(lengths),
            attempt_tokens=length,
            constant_tokens=CONSTANT if aggregation == "constant" else None,
        )
        for length in lengths
    ]


def total(aggregation: Aggregation, attempts: list[list[float]]) -> float:
    shares = weights(aggregation, [len(attempt) for attempt in attempts])
    return sum(share * value for share, attempt in zip(shares, attempts, strict=True) for value in attempt)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("token", [1 / 10, 1 / 10]),
        ("rollout", [1 / 4, 1 / 16]),
        ("sequence", [1 / 4, 1 / 16]),
        ("constant", [1 / 14, 1 / 14]),
    ],
)
def test_attempts_of_2_and_8_tokens(aggregation: Aggregation, expected: list[float]) -> None:
    assert weights(aggregation, [2, 8]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(ATTEMPTS)
def test_the_weighted_sum_is_the_mean_that_the_name_says(aggregation: Aggregation, attempts: list) -> None:
    assert total(aggregation, attempts) == pytest.approx(DEFINITIONS[aggregation](attempts), abs=1e-9)


@pytest.mark.parametrize("aggregation", [name for name in AGGREGATIONS if name != "constant"])
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_the_weights_of_an_update_sum_to_one(aggregation: Aggregation, lengths: list[int]) -> None:
    shares = weights(aggregation, lengths)
    assert sum(share * length for share, length in zip(shares, lengths, strict=True)) == pytest.approx(1.0)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_over_a_constant_they_sum_to_the_mean_length_in_units_of_it(lengths: list[int]) -> None:
    found = sum(share * n for share, n in zip(weights("constant", lengths), lengths, strict=True))
    assert found == pytest.approx(mean(lengths) / CONSTANT)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(ATTEMPTS)
def test_who_counts_twice_when_an_attempt_says_everything_twice(aggregation: Aggregation, attempts: list) -> None:
    """Nothing changes where attempts count alike; where tokens do, its words weigh twice."""
    alike = aggregation in ("rollout", "sequence")
    longer = total(aggregation, [attempts[0] * 2, *attempts[1:]])
    twice = (total(aggregation, attempts) * len(attempts) + sum(attempts[0]) / CONSTANT) / len(attempts)
    expected = {"token": mean([*attempts[0], *(value for attempt in attempts for value in attempt)]), "constant": twice}
    assert longer == pytest.approx(total(aggregation, attempts) if alike else expected[aggregation], abs=1e-9)


def test_a_constant_is_named() -> None:
    with pytest.raises(ValueError, match="got None, expected at least 1"):
        token_weight("constant", num_tokens=10, num_attempts=2, attempt_tokens=2)
