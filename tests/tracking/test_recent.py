"""The last steps in numbers, against hand-computed ones."""

import math

import pytest

from turnwright.tracking.recent import RECENT_STEPS, Validation, summarise_steps


def record(step: int, **values: float) -> dict[str, float]:
    return {"step": float(step), "time": 100.0 + step, **{name.replace("__", "/"): v for name, v in values.items()}}


def test_a_run_without_steps_says_nothing():
    recent = summarise_steps([])
    assert (recent.step, recent.reward, recent.judge, recent.validations) == (0, None, None, ())
    assert (recent.time_shares, recent.tokens_per_second, recent.overlap) == ({}, {}, None)


def test_reward_and_time_are_of_the_last_steps_and_the_rest_of_the_last_one():
    records = [
        record(step, rollout__reward__mean=float(step), timing_s__step=float(step), rollout__in_flight=float(step))
        for step in range(1, RECENT_STEPS + 3)
    ]
    recent = summarise_steps(records)
    assert recent.step == recent.in_flight == 12
    # Of the steps 3 to 12.
    assert recent.reward == recent.seconds_per_step == 7.5
    assert recent.reward_half_width is None


def test_the_interval_of_several_steps_has_the_variance_between_them():
    # Four groups each: {0, 0, 1, 1} and {1, 1, 1, 1}: all eight have mean 0.75 and population variance 0.1875.
    groups = {"training__num_groups": 4.0}
    recent = summarise_steps(
        [
            record(1, rollout__reward__mean=0.5, analysis__reward_variance_across_groups=0.25, **groups),
            record(2, rollout__reward__mean=1.0, analysis__reward_variance_across_groups=0.0, **groups),
        ]
    )
    assert recent.reward == 0.75
    assert recent.reward_half_width == pytest.approx(1.96 * math.sqrt(0.1875 / 7))


def test_validations_are_judged_by_the_score_where_there_is_one():
    rewards = [record(0, val__reward__mean=0.25), record(1), record(2, val__reward__mean=0.5)]
    recent = summarise_steps(rewards)
    assert recent.judge == "val/reward/mean"
    assert recent.validations == (Validation(step=0, value=0.25), Validation(step=2, value=0.5))
    recent = summarise_steps([*rewards, record(3, val__score__success=0.75, val__reward__mean=0.1)])
    assert (recent.judge, recent.validations) == ("val/score/success", (Validation(step=3, value=0.75),))


def test_tokens_per_second_count_the_engines_time_for_training_episodes_only():
    divided = record(
        1,
        cost__sampled_tokens=1000.0,
        cost__trained_tokens=900.0,
        timing_s__generation=3.0,
        busy_s__overlap=1.0,
        # Two more for a validation.
        busy_s__generation=6.0,
        busy_s__training=4.5,
        timing_s__training=4.0,
    )
    assert summarise_steps([divided]).tokens_per_second == {"generation": 250.0, "training": 200.0}
    whole = record(2, cost__sampled_tokens=1000.0, timing_s__rollout=1.0, timing_s__training=1.0)
    assert summarise_steps([whole]).tokens_per_second == {"generation": 1000.0}
    # Tokens of both over seconds of both.
    assert summarise_steps([divided, whole]).tokens_per_second == {"generation": 400.0, "training": 200.0}


def test_time_is_shared_over_all_steps_together():
    records = [
        record(1, timing_s__step=1.0, timing_s__generation=1.0, busy_s__overlap=0.0, timing_s__other=0.0),
        record(2, timing_s__step=3.0, timing_s__generation=0.0, timing_s__training=3.0, busy_s__overlap=2.0),
    ]
    recent = summarise_steps(records)
    assert recent.time_shares == {"generation": 0.25, "training": 0.75}
    assert recent.overlap == 0.5


def test_numbers_that_are_not_finite_were_not_measured():
    recent = summarise_steps([record(1, rollout__reward__mean=math.nan, timing_s__step=math.nan)])
    assert (recent.reward, recent.seconds_per_step, recent.time_shares) == (None, None, {})


def test_staleness_is_the_mean_and_the_greatest():
    records = [
        record(1, training__staleness__mean=0.5, training__staleness__max=3.0),
        record(2, training__staleness__mean=1.5, training__staleness__max=2.0),
    ]
    recent = summarise_steps(records)
    assert (recent.staleness_mean, recent.staleness_max) == (1.0, 3.0)
