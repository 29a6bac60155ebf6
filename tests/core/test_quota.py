"""The law of the quota: every share within one group of its ideal, at every point of a run."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.quota import Quota

WEIGHTS = st.dictionaries(
    st.text("abcdefgh_0", min_size=1, max_size=4),
    st.one_of(
        st.floats(min_value=1e-3, max_value=1e3).map(lambda weight: round(weight, 3)),
        st.integers(min_value=1, max_value=9).map(float),
    ),
    min_size=1,
    max_size=8,
)
LONGEST = 120


def deal(weights: dict[str, float], num_groups: int = LONGEST) -> list[str]:
    quota = Quota(weights)
    return [quota.domain(number) for number in range(num_groups)]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"a": 1.0}, "aaaa"),
        ({"a": 1.0, "b": 1.0}, "abab"),
        # a is due by 2, 3, 5, 6; b by 3, 6: at equal dates the name decides.
        ({"a": 2.0, "b": 1.0}, "aabaab"),
        # a is due by 2, 3, 4, 5, 7, 8, 9, 10, and may have its fifth group from the sixth place on; b and c by 10.
        ({"a": 0.8, "b": 0.1, "c": 0.1}, "aaaabaaaac"),
    ],
)
def test_sequences_by_hand(weights: dict[str, float], expected: str) -> None:
    assert "".join(deal(weights, len(expected))) == expected


@given(WEIGHTS)
def test_every_share_is_within_one_group_of_its_ideal_at_every_group(weights: dict[str, float]) -> None:
    whole = sum(Fraction(str(weight)) for weight in weights.values())
    counts = dict.fromkeys(weights, 0)
    for number, chosen in enumerate(deal(weights), start=1):
        counts[chosen] += 1
        for name, weight in weights.items():
            assert abs(counts[name] - number * Fraction(str(weight)) / whole) < 1


@given(WEIGHTS, st.randoms())
def test_the_order_in_which_domains_are_written_and_the_scale_of_weights_do_not_matter(weights, random) -> None:
    names = list(weights)
    random.shuffle(names)
    assert deal({name: 4 * weights[name] for name in names}, 100) == deal(weights, 100)


@given(WEIGHTS, st.integers(0, LONGEST), st.integers(0, LONGEST))
def test_counts_and_places_do_not_depend_on_what_was_asked_before(weights, first: int, then: int) -> None:
    quota, dealt = Quota(weights), deal(weights)
    for num_groups in (first, then):
        assert {name: quota.count(name, num_groups) for name in weights} == {
            name: dealt[:num_groups].count(name) for name in weights
        }


def test_whole_periods_give_exact_shares() -> None:
    quota = Quota({"a": 0.1, "b": 0.2, "c": 0.7})
    assert [quota.count(name, 1000) for name in "abc"] == [100, 200, 700]
