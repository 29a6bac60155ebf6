"""The pause above the failure threshold, in virtual time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.errors import TrainingError
from turnwright.core.outcome import Failed, Outcome, Rewarded
from turnwright.rollout import pause as rollout_pause
from turnwright.rollout.pause import LONGEST_WAIT, FailurePause, describe_failures, outlast

GOOD = Rewarded(value=1.0)
BROKEN = Failed(cause="tool_error", detail="connection refused")


def pause_of(*, limit: float = 0.2, window: int = 10, max_seconds: float = 600.0) -> FailurePause:
    return FailurePause(limit=limit, window=window, max_seconds=max_seconds)


def break_down(pause: FailurePause, *, now: float = 0.0) -> None:
    while not pause.is_paused:
        pause.ended(BROKEN, now)


def test_a_share_at_the_limit_is_endured_and_the_next_failure_pauses():
    pause = pause_of()
    for outcome in (GOOD, BROKEN, GOOD, BROKEN):
        pause.ended(outcome, 0.0)
    assert not pause.is_paused
    pause.ended(BROKEN, 5.0)
    assert pause.is_paused
    assert pause.num_pauses == 1
    assert pause.seconds_to_probe(5.0) == 1.0
    assert pause.message(5.0) == (
        "3 of the last 5 attempts failed, more than 20% of 10 (rollout.max_failed_fraction); causes: tool_error (3); "
        "for example: connection refused; the next probe is due in 1 s, and the run stops if none has succeeded in "
        "600 s"
    )


def test_failures_that_lie_back_a_whole_window_are_forgotten():
    pause = pause_of()
    for _ in range(5):
        for outcome in (BROKEN, BROKEN, *(GOOD,) * 8):
            pause.ended(outcome, 0.0)
    assert not pause.is_paused
    assert pause.message(0.0) == ""


def test_the_share_is_of_whole_attempts_and_not_of_rounding():
    pause = pause_of(limit=0.29, window=100)  # 0.29 x 100 is a little less than 29 in floating point
    for _ in range(29):
        pause.ended(BROKEN, 0.0)
    assert not pause.is_paused
    pause.ended(BROKEN, 0.0)
    assert pause.is_paused


def test_probes_come_at_doubling_intervals_up_to_a_minute_until_the_time_is_used_up():
    pause, now, waits = pause_of(max_seconds=300.0), 100.0, list[float]()
    break_down(pause, now=now)

    def keep_failing() -> None:
        nonlocal now
        while True:
            waits.append(pause.seconds_to_probe(now))
            now += waits[-1]
            pause.probed(BROKEN, now)

    with pytest.raises(TrainingError, match=r"paused for 300 s and did not pass .* = 300\)") as stopped:
        keep_failing()
    # 1 + 2 + 4 + 8 + 16 + 32 = 63, then minutes; the last one is cut at 300.
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 57]
    assert "tool_error (10); for example: connection refused" in str(stopped.value)
    assert str(stopped.value).endswith("mend the environment or the agent, then continue with --resume")


def test_a_probe_that_survives_ends_the_pause_and_forgets_the_failures():
    pause = pause_of()
    break_down(pause)
    pause.probed(BROKEN, 1.0)
    pause.probed(GOOD, 3.5)
    assert not pause.is_paused
    assert pause.seconds(10.0) == 3.5
    for _ in range(2):
        pause.ended(BROKEN, 11.0)
    assert not pause.is_paused


def test_a_run_that_limps_along_does_not_get_its_time_anew():
    pause, now = pause_of(max_seconds=20.0), 0.0
    for _ in range(5):
        break_down(pause, now=now)
        now += pause.seconds_to_probe(now)
        pause.probed(GOOD, now)
        now += 1000.0  # it works a while, though never for a whole window
    with pytest.raises(TrainingError, match=r"paused for 20 s and did not pass"):
        break_down(pause, now=now)
    assert pause.num_pauses == 5  # 1 + 2 + 4 + 8 + the 5 that are left


def test_a_whole_good_window_makes_the_next_pause_a_fresh_one():
    pause = pause_of(max_seconds=20.0)
    break_down(pause)
    pause.probed(BROKEN, 1.0)
    pause.probed(GOOD, 15.0)
    for _ in range(10):
        pause.ended(GOOD, 16.0)
    break_down(pause, now=17.0)
    assert pause.seconds_to_probe(17.0) == 1.0
    pause.probed(BROKEN, 36.0)  # 19 s into this one
    assert pause.is_paused


def test_attempts_in_flight_that_end_in_a_pause_change_nothing_but_what_is_said():
    pause = pause_of()
    break_down(pause)
    pause.ended(GOOD, 0.5)
    pause.ended(Failed(cause="timeout"), 0.6)
    assert pause.is_paused
    assert pause.seconds_to_probe(0.6) == pytest.approx(0.4)
    assert "tool_error (3), timeout (1)" in pause.message(0.6)


@pytest.mark.parametrize("cause", ["skipped", "grader_error", "record_error"])
def test_what_waiting_does_not_cure_stops_at_once(cause: str):
    pause = pause_of()
    pause.ended(BROKEN, 0.0)
    incurable = Failed(cause=cause, detail="KeyError: 'gold'")
    for _ in range(2):
        pause.ended(incurable, 0.0)
    assert pause.is_paused  # three failed, one of them for want of something that may come back
    fresh = pause_of()
    fresh.ended(incurable, 0.0)
    fresh.ended(incurable, 0.0)
    with pytest.raises(TrainingError, match=rf"causes: {cause} \(3\); for example: KeyError: 'gold'\. Time does not"):
        fresh.ended(incurable, 0.0)


def test_without_patience_the_run_stops_at_the_threshold():
    with pytest.raises(TrainingError, match=r"tool_error \(3\); for example: connection refused; mend the"):
        break_down(pause_of(max_seconds=0.0))


def test_a_limit_of_one_never_pauses():
    pause = pause_of(limit=1.0)
    for _ in range(100):
        pause.ended(BROKEN, 0.0)
    assert not pause.is_paused


def test_causes_come_with_counts_the_commonest_first():
    failures = [BROKEN, Failed(cause="timeout", detail="slow"), Failed(cause="timeout", detail="x" * 400)]
    assert describe_failures(failures) == f"timeout (2), tool_error (1); for example: {'x' * 300}..."


def test_probes_are_made_until_one_survives(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rollout_pause, "FIRST_WAIT", 0.001)
    said, outcomes = list[str](), [BROKEN, BROKEN, GOOD, BROKEN]

    async def probe() -> Outcome:
        return outcomes.pop(0)

    async def work() -> FailurePause:
        pause = pause_of()
        break_down(pause, now=asyncio.get_running_loop().time())
        await outlast(pause, probe, said.append)
        return pause

    assert not asyncio.run(work()).is_paused
    assert outcomes == [BROKEN]
    assert [line.split(" ")[0] for line in said] == ["3", "4", "5"]


@given(
    st.lists(st.booleans(), max_size=60),
    st.integers(1, 12),
    st.floats(0, 1),
    st.sampled_from([0.0, 5.0, 90.0]),
)
def test_every_schedule_ends_in_work_or_in_an_error_and_no_pause_outlasts_its_time(
    works: list[bool], window: int, limit: float, max_seconds: float
):
    """``works`` says, one after the other, how attempts end; then everything fails."""
    pause, now, endings = FailurePause(limit=limit, window=window, max_seconds=max_seconds), 0.0, iter(works)
    began = None
    for _ in range(300):
        outcome = GOOD if next(endings, False) else BROKEN
        try:
            if pause.is_paused:
                began = now if began is None else began
                wait = pause.seconds_to_probe(now)
                assert wait <= LONGEST_WAIT
                now += wait
                assert now - began <= max_seconds
                pause.probed(outcome, now)
            else:
                began = None
                pause.ended(outcome, now)
        except TrainingError:
            return
    assert limit == 1.0
