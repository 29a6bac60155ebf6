"""Every moment is counted once, whatever is on at a time."""

from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.timeline import ACTIVITIES, METRICS, Timeline, time_shares


class Clock:
    """Seconds that pass when told to; whole ones, so that sums are exact."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def spent(seconds: dict) -> dict:
    return {state: value for state, value in seconds.items() if value}


def test_a_step_by_hand():
    clock = Clock(100.0)
    timeline = Timeline(clock)
    timeline.set("tools", True)
    with timeline.span("waiting"):
        clock.now += 1  # tools: an episode is in flight, the engine has nothing to do
        timeline.set("generation", True)
        clock.now += 4
    with timeline.span("training"):
        clock.now += 2
        with timeline.span("weight_update"):
            clock.now += 3
        timeline.set("generation", False)
        clock.now += 5
    timeline.set("tools", False)
    clock.now += 6
    with timeline.span("waiting"):
        clock.now += 7
    assert timeline.metrics() == {
        "timing_s/generation": 4,
        "timing_s/tools": 1,
        "timing_s/waiting": 7,
        "timing_s/training": 7,
        "timing_s/weight_update": 3,
        "timing_s/eval": 0,
        "timing_s/save_checkpoint": 0,
        "timing_s/other": 6,
        "timing_s/rollout": 12,
        "timing_s/step": 28,
        "busy_s/generation": 9,
        "busy_s/training": 10,
        "busy_s/tools": 15,
        "busy_s/overlap": 5,
    }
    assert not spent(timeline.take())


def test_what_is_on_goes_on_over_a_take():
    clock = Clock()
    timeline = Timeline(clock)
    timeline.set("generation", True)
    clock.now = 2
    assert spent(timeline.take()) == {"generation": 2}
    clock.now = 5
    assert spent(timeline.metrics()) == {
        "timing_s/generation": 3,
        "timing_s/rollout": 3,
        "timing_s/step": 3,
        "busy_s/generation": 3,
    }


def test_an_activity_is_on_until_the_last_who_began_it_has_ended():
    clock = Clock()
    timeline = Timeline(clock)
    with timeline.span("tools"):
        with timeline.span("tools"):
            clock.now += 1
        clock.now += 1
    clock.now += 1
    assert spent(timeline.take()) == {"tools": 2, "other": 1}
    with pytest.raises(ValueError, match="'tools' cannot end: it is not on"):
        timeline.set("tools", False)


def test_a_span_ends_with_an_error():
    timeline = Timeline(Clock())

    def fail() -> None:
        with timeline.span("evaluation"):
            assert timeline.state == "evaluation"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert timeline.state == "other"


EVENTS = st.lists(st.tuples(st.integers(0, 1000), st.sampled_from([*ACTIVITIES, "take"]), st.booleans()), max_size=60)


@given(EVENTS)
def test_the_states_add_up_to_the_wall_time_and_belong_to_the_first_that_is_on(events):
    clock = Clock()
    timeline, counts = Timeline(clock), Counter()
    expected, busy, overlap, started = dict.fromkeys(METRICS, 0.0), Counter(), 0.0, 0.0

    def check() -> None:
        metrics = timeline.metrics()
        assert {state: metrics[name] for state, name in METRICS.items()} == expected
        assert metrics["timing_s/step"] == sum(expected.values()) == clock.now - started
        assert [metrics[f"busy_s/{name}"] for name in ("generation", "training", "tools")] == [
            busy[name] for name in ("generation", "training", "tools")
        ]
        assert metrics["busy_s/overlap"] == overlap <= min(busy["generation"], busy["training"])

    for passed, event, on in events:
        clock.now += passed
        current = [activity for activity in ACTIVITIES if counts[activity]]
        assert timeline.state == (current[0] if current else "other")
        expected[timeline.state] += passed
        for activity in current:
            busy[activity] += passed
        overlap += passed if {"generation", "training"} <= set(current) else 0
        if event == "take":
            check()
            expected, busy = dict.fromkeys(METRICS, 0.0), Counter()
            overlap, started = 0.0, clock.now
        elif on or counts[event]:
            timeline.set(event, on)
            counts[event] += 1 if on else -1
    check()


@given(st.lists(st.tuples(st.sampled_from(ACTIVITIES), st.floats(0, 1e4)), max_size=20))
def test_take_gives_the_wall_time_of_nested_spans(spans):
    clock = Clock(1e6)
    timeline = Timeline(clock)
    with ExitStack() as stack:
        for activity, seconds in spans:
            stack.enter_context(timeline.span(activity))
            clock.now += seconds
    assert sum(timeline.take().values()) == pytest.approx(clock.now - 1e6)


def test_shares_of_a_step():
    divided = {"timing_s/step": 8.0, "timing_s/rollout": 4.0, "timing_s/generation": 3.0, "timing_s/tools": 1.0}
    assert time_shares(divided | {"timing_s/training": 3.0, "timing_s/other": 1.0, "timing_s/eval": 0.0}) == {
        "generation": 0.375,
        "tools": 0.125,
        "training": 0.375,
        "other": 0.125,
    }


def test_shares_of_a_step_that_does_not_divide_its_rollout():
    values = {"timing_s/step": 8.0, "timing_s/rollout": 4.0, "timing_s/training": 2.0, "timing_s/eval": 1.0}
    assert time_shares(values) == {"rollout": 0.5, "training": 0.25, "evaluation": 0.125, "other": 0.125}
    assert time_shares({}) == time_shares({"timing_s/step": 0.0}) == {}
