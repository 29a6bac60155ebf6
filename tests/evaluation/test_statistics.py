"""Intervals and pass rates against numbers worked out by hand."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.evaluation.statistics import (
    cluster_bootstrap,
    paired_difference,
    pass_at_k,
    pass_power_k,
    share_interval,
    share_over_strata,
    stratified_bootstrap,
    wilson_interval,
)


def test_wilson_matches_the_worked_example() -> None:
    # p = 0.8, n = 10, z = 1.96: center (0.8 + 0.19207) / 1.38415 = 0.71674; half width 0.22659.
    interval = wilson_interval(8, 10)
    assert interval.value == 0.8
    assert interval.low == pytest.approx(0.49016, abs=1e-4)
    assert interval.high == pytest.approx(0.94332, abs=1e-4)


def test_wilson_is_not_certain_at_the_edges() -> None:
    # At p = 1 the lower bound is n / (n + z^2): 10 / 13.8415.
    assert wilson_interval(10, 10).low == pytest.approx(10 / 13.841459, abs=1e-6)
    assert wilson_interval(10, 10).high == 1.0
    assert wilson_interval(0, 10).low == 0.0


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_share(counts: tuple[int, int]) -> None:
    interval = wilson_interval(*counts)
    assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0


def test_bootstrap_weighs_tasks_equally() -> None:
    # Task a has mean 1 from one attempt, task b mean 0 from three: the mean over tasks is 0.5, over attempts 0.25.
    assert cluster_bootstrap({"a": [1.0], "b": [0.0, 0.0, 0.0]}).value == 0.5


def test_bootstrap_of_two_tasks_spans_both() -> None:
    # Two tasks: a resample is (0,0), (0,1), (1,0) or (1,1), so each edge has probability 1/4.
    interval = cluster_bootstrap({"a": [0.0], "b": [1.0]})
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_bootstrap_treats_the_task_as_the_unit() -> None:
    # 100 tasks, half solved: standard error 0.05, whatever the number of attempts per task.
    once = cluster_bootstrap({str(i): [float(i % 2)] for i in range(100)})
    often = cluster_bootstrap({str(i): [float(i % 2)] * 16 for i in range(100)})
    assert once == often
    assert once.high - once.low == pytest.approx(2 * 1.96 * 0.05, abs=0.02)


def test_bootstrap_is_seeded() -> None:
    values = {str(i): [i / 30] for i in range(30)}
    assert cluster_bootstrap(values, seed=1) == cluster_bootstrap(values, seed=1)
    assert cluster_bootstrap(values, seed=1) != cluster_bootstrap(values, seed=2)


def test_bootstrap_in_chunks_covers_every_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwright.evaluation.statistics.CHUNK_ELEMENTS", 70)
    interval = cluster_bootstrap({"a": [0.4], "b": [0.6]}, resamples=999)
    assert interval.low >= 0.4
    assert interval.high <= 0.6


def test_share_of_identical_tasks_keeps_an_honest_width() -> None:
    interval = share_interval({str(i): [1.0, 1.0] for i in range(10)})
    assert interval == wilson_interval(10, 10, method="wilson_over_tasks")


def test_share_of_equal_tasks_between_the_edges_stays_a_bootstrap() -> None:
    assert share_interval({str(i): [0.0, 1.0] for i in range(10)}).method == "cluster_bootstrap"


def test_tasks_without_values_are_left_out_and_all_empty_is_refused() -> None:
    assert cluster_bootstrap({"a": [1.0], "b": []}).value == 1.0
    with pytest.raises(ValueError, match="at least one task"):
        cluster_bootstrap({"a": []})


def test_paired_difference_cancels_what_tasks_share() -> None:
    # Every task gains exactly 0.25 although tasks differ wildly: the paired interval has width 0.
    base = {"a": [0.0, 0.0, 0.0, 0.0], "b": [1.0, 1.0, 1.0, 0.0]}
    tuned = {"a": [0.0, 0.0, 0.0, 1.0], "b": [1.0, 1.0, 1.0, 1.0]}
    interval = paired_difference(base, tuned)
    assert (interval.value, interval.low, interval.high) == (0.25, 0.25, 0.25)


def test_paired_difference_refuses_other_tasks() -> None:
    with pytest.raises(ValueError, match="'b'"):
        paired_difference({"a": [1.0]}, {"a": [1.0], "b": [1.0]})


def test_pass_rates_match_the_worked_example() -> None:
    # 4 attempts, 2 right: of the 6 pairs 5 hold a right one and 1 is all right.
    assert pass_at_k(4, 2, 2) == pytest.approx(5 / 6)
    assert pass_power_k(4, 2, 2) == pytest.approx(1 / 6)
    assert pass_at_k(8, 1, 1) == pytest.approx(1 / 8)
    assert pass_at_k(8, 0, 8) == 0.0


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_rates_equal_enumeration(counts: tuple[int, int, int]) -> None:
    n, c, k = counts
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    assert pass_power_k(n, c, k) == pytest.approx(sum(map(all, subsets)) / len(subsets))


def test_pass_rate_of_more_attempts_than_made_is_refused() -> None:
    with pytest.raises(ValueError, match="n=4"):
        pass_at_k(4, 2, 5)


def test_strata_count_the_same_whatever_their_size() -> None:
    # Means 1/2 over four tasks and 1 over one: 3/4, where pooling the tasks would give 3/5.
    interval = stratified_bootstrap([{"a": [1.0], "b": [0.0], "c": [1.0], "d": [0.0]}, {"e": [1.0]}])
    assert interval.value == 0.75
    # The second stratum has no spread: the first alone moves the mean, between 1/2 and 1.
    assert (interval.low, interval.high) == (0.5, 1.0)


def test_strata_are_resampled_apart_and_by_the_task() -> None:
    # Two strata of 100 tasks, half of each right: sqrt(0.25 / 100 / 2) = 0.0354.
    strata = [{str(i): [float(i % 2)] * 3 for i in range(100)} for _ in range(2)]
    interval = stratified_bootstrap(strata)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.0354, abs=0.015)
    assert interval == stratified_bootstrap(strata)


def test_equal_strata_at_the_edge_are_not_certain() -> None:
    # Strata of 10 and 40 tasks: 4 / (1 / 10 + 1 / 40) = 32 tasks.
    strata = [{str(i): [1.0] for i in range(size)} for size in (10, 40)]
    assert share_over_strata(strata) == wilson_interval(32, 32, method="wilson_over_tasks")
    zeros = [{str(i): [0.0] for i in range(size)} for size in (10, 40)]
    assert share_over_strata(zeros).value == 0.0
    assert share_over_strata([strata[0], zeros[0]]).value == 0.5


def test_a_stratum_without_values_is_refused() -> None:
    for strata in ([], [{"a": [1.0]}, {}], [{"a": [1.0]}, {"b": []}]):
        with pytest.raises(ValueError, match="in every stratum"):
            stratified_bootstrap(strata)
