"""One example by hand, all the way: rewards -> advantages -> weights.

group "a"   rewards 1, 0      sampled tokens 2 and 3     mean 0.5, std sqrt(0.5)
group "b"   rewards 0.5, 0.5  sampled tokens 4 and 1     no signal
"""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.material import attempt, group
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableGroup
from turnwright.learner.batch import Batch, BatchSettings, build_batch
from turnwright.learner.credit import AdvantageSettings

A = group("a", attempt("a", 0, 1.0, [1.5, 1.0]), attempt("a", 1, 0.0, [0.5, 1.0, 2.0]))
B = group("b", attempt("b", 0, 0.5, [1.0] * 4), attempt("b", 1, 0.5, [1.0]))
PLAIN = AdvantageSettings(normalization=False)
NORMALISED = 0.5 / (math.sqrt(0.5) + 1e-6)


def weights(batch: Batch, update: int = 0) -> list[float]:
    return [entry.weight for entry in batch.updates[update]]


def test_advantages_and_token_weights_by_hand():
    batch = build_batch([A, B], BatchSettings())
    assert batch.advantages == pytest.approx([NORMALISED, -NORMALISED], rel=1e-12)
    assert [set(entry.advantages) for entry in batch.updates[0]] == [{value} for value in batch.advantages]
    assert weights(batch) == [1 / 10, 1 / 10]
    assert (batch.num_groups, batch.num_live_groups, batch.num_attempts) == (2, 1, 4)
    assert (batch.zero_adv_nonzero_reward, batch.zero_adv_zero_reward, batch.num_small_groups) == (1, 0, 0)


def test_without_normalisation_the_mean_is_subtracted_and_nothing_else():
    batch = build_batch([A, B], BatchSettings(advantages=PLAIN))
    assert batch.advantages == (0.5, -0.5)


@pytest.mark.parametrize(
    ("aggregation", "normalise", "expected"),
    [
        ("token", "all", [1 / 10, 1 / 10]),
        ("token", "live", [1 / 5, 1 / 5]),
        ("rollout", "all", [1 / (4 * 2), 1 / (4 * 3)]),
        ("rollout", "live", [1 / (2 * 2), 1 / (2 * 3)]),
        ("sequence", "all", [1 / (4 * 2), 1 / (4 * 3)]),
        ("constant", "all", [1 / (4 * 10), 1 / (4 * 10)]),
        ("constant", "live", [1 / (2 * 10), 1 / (2 * 10)]),
    ],
)
def test_groups_without_signal_stay_in_the_normaliser_unless_told_otherwise(aggregation, normalise, expected):
    batch = build_batch([A, B], BatchSettings(aggregation=aggregation, aggregation_tokens=10, normalise=normalise))
    assert weights(batch) == pytest.approx(expected)
    if normalise == "live" and aggregation != "constant":
        total = sum(entry.weight * entry.row.num_trained_tokens for entry in batch.updates[0])
        assert total == pytest.approx(1.0)


@pytest.mark.parametrize(("normalise", "weight"), [("all", 1 / 10), ("live", 0.0)])
def test_groups_without_signal_are_computed_for_the_terms_that_all_groups_have(normalise, weight: float):
    batch = build_batch([A, B], BatchSettings(normalise=normalise), compute_all=True)
    rows = [(entry.group, set(entry.advantages), entry.term_weight) for entry in batch.updates[0]]
    assert rows[2:] == [("b", {0.0}, 1 / 10), ("b", {0.0}, 1 / 10)]
    assert [entry.weight for entry in batch.updates[0]][2:] == [weight] * 2
    assert {entry.term_weight for entry in batch.updates[0]} == {1 / 10}
    assert (batch.num_live_groups, len(batch.advantages)) == (1, 2)


def test_groups_without_signal_are_told_apart():
    hopeless = group("c", attempt("c", 0, 0.0, [1.0]), attempt("c", 1, 0.0, [1.0]))
    batch = build_batch([B, hopeless], BatchSettings())
    assert (batch.zero_adv_nonzero_reward, batch.zero_adv_zero_reward) == (1, 1)
    assert (batch.updates, batch.advantages, batch.num_live_groups) == ((), (), 0)


LIMITED = group(
    "d", attempt("d", 0, 1.0, [1.0]), attempt("d", 1, 0.0, [1.0]), attempt("d", 2, 0.9, [1.0] * 4, truncated=True)
)


@pytest.mark.parametrize(
    ("truncated", "rewards", "num_tokens"),
    [("reward", [1.0, 0.0, 0.9], 6), ("zero", [1.0, 0.0, 0.0], 6), ("mask", [1.0, 0.0], 2)],
)
def test_truncated_attempts_count_as_told(truncated, rewards: list[float], num_tokens: int):
    batch = build_batch([LIMITED], BatchSettings(truncated=truncated, advantages=PLAIN))
    mean = sum(rewards) / len(rewards)
    assert batch.advantages == pytest.approx([reward - mean for reward in rewards])
    assert weights(batch) == pytest.approx([1 / num_tokens] * len(rewards))


def test_a_group_with_one_attempt_left_has_no_baseline():
    alone = group("e", attempt("e", 0, 1.0, [1.0]))
    masked = group("f", attempt("f", 0, 1.0, [1.0]), attempt("f", 1, 0.0, [1.0], truncated=True))
    silent = group("g", attempt("g", 0, 1.0, [1.0]), attempt("g", 1, 0.0, []))
    empty = TrainableGroup(task_id="h", attempts=())
    batch = build_batch([A, alone, masked, silent, empty], BatchSettings(truncated="mask"))
    assert batch.num_small_groups == 4
    assert batch.num_live_groups == 1
    assert {entry.group for entry in batch.updates[0]} == {"a"}
    assert weights(batch) == pytest.approx([1 / 8] * 2)


def test_the_number_of_rows_never_matters():
    whole = group("a", attempt("a", 0, 1.0, [1.0] * 6), attempt("a", 1, 0.0, [1.0] * 4))
    cut = group("a", attempt("a", 0, 1.0, [1.0] * 6, rows=3), attempt("a", 1, 0.0, [1.0] * 4, rows=2))
    for aggregation in ("token", "rollout"):
        one, other = (build_batch([g], BatchSettings(aggregation=aggregation)) for g in (whole, cut))
        assert one.advantages == other.advantages
        assert sorted(set(weights(one))) == sorted(set(weights(other)))
        assert len(other.updates[0]) == 5


def test_whole_groups_are_dealt_to_the_updates_each_with_its_own_normaliser():
    c = group("c", attempt("c", 0, 3.0, [1.0]), attempt("c", 1, 0.0, [1.0] * 6))
    batch = build_batch([A, c, B], BatchSettings(updates_per_step=2))
    assert [{entry.group for entry in update} for update in batch.updates] == [{"a"}, {"c"}]
    assert weights(batch, 0) == pytest.approx([1 / 10] * 2)
    assert weights(batch, 1) == pytest.approx([1 / 7] * 2)
    # An update without a live group is left out.
    assert [len(build_batch([A, B], BatchSettings(updates_per_step=2)).updates)] == [1]


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_number_is_refused_by_name(reward: float):
    broken = group("x", replace(A.attempts[0], reward=reward), A.attempts[1])
    with pytest.raises(TrainingError, match=r"reward of episode 'a#0' is -?(nan|inf)"):
        build_batch([B, broken], BatchSettings())


@st.composite
def batches(draw: st.DrawFn) -> list[TrainableGroup]:
    return [
        group(
            f"t{number}",
            *(
                attempt(f"t{number}", i, draw(st.sampled_from([0.0, 0.5, 1.0])), [1.0] * draw(st.integers(0, 5)))
                for i in range(draw(st.integers(0, 4)))
            ),
        )
        for number in range(draw(st.integers(1, 5)))
    ]


@given(batches(), st.sampled_from(["token", "rollout"]), st.sampled_from(["all", "live"]), st.integers(1, 3))
def test_weights_of_an_update_sum_to_the_share_of_what_has_signal(groups, aggregation, normalise, updates):
    batch = build_batch(groups, BatchSettings(aggregation=aggregation, normalise=normalise, updates_per_step=updates))
    for rows in batch.updates:
        total = sum(entry.weight * entry.row.num_trained_tokens for entry in rows)
        assert total == pytest.approx(1.0) if normalise == "live" else 0 < total <= 1 + 1e-9
    without_signal = batch.zero_adv_nonzero_reward + batch.zero_adv_zero_reward
    assert batch.num_live_groups + without_signal + batch.num_small_groups == len(groups)
