"""The books of rollouts: each one ends once, and those that have not are in flight or ready."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.episode import EpisodeKey
from turnwright.rollout.ledger import EVENTS, RolloutLedger

KEYS = [EpisodeKey(task_id="t", attempt=number) for number in range(4)]


def test_tokens_of_a_group_that_was_given_up_are_wasted() -> None:
    ledger = RolloutLedger()
    for key in KEYS[:3]:
        ledger.dispatch(key)
    ledger.finish(KEYS[0], num_tokens=40)
    ledger.finish(KEYS[1], num_tokens=60)
    ledger.end(KEYS[0], "stale")
    ledger.cut(KEYS, "stale")
    assert (ledger.finished_tokens, ledger.wasted_tokens) == (100, 40)
    assert (ledger.num_dispatched, ledger.num_in_flight, ledger.num_ready) == (3, 0, 1)
    ledger.end(KEYS[1], "trained")
    assert ledger.ended == {"stale": 2, "trained": 1}


def test_what_cannot_be_is_refused() -> None:
    ledger = RolloutLedger()
    ledger.dispatch(KEYS[0])
    with pytest.raises(ValueError, match="rollout t#0 was dispatched already"):
        ledger.dispatch(KEYS[0])
    with pytest.raises(ValueError, match="rollout t#1 cannot finish: it is not in flight"):
        ledger.finish(KEYS[1], num_tokens=1)
    with pytest.raises(ValueError, match="rollout t#0 cannot end as trained: it is in flight"):
        ledger.end(KEYS[0], "trained")
    ledger.finish(KEYS[0], num_tokens=1)
    with pytest.raises(ValueError, match="rollout t#0 cannot end as interrupted: it is ready"):
        ledger.end(KEYS[0], "interrupted")
    ledger.end(KEYS[0], "filtered")
    with pytest.raises(ValueError, match="rollout t#0 cannot end as stale: it is not in the books"):
        ledger.end(KEYS[0], "stale")
    # Its attempt may be made once more, by another process or because it failed.
    ledger.dispatch(KEYS[0])
    ledger.interrupt()
    assert ledger.ended == {"filtered": 1, "interrupted": 1}


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(("dispatch", "finish", "cut", "interrupt", *EVENTS)))))
def test_what_was_dispatched_is_in_flight_ready_or_ended(calls: list[tuple[EpisodeKey, str]]) -> None:
    ledger = RolloutLedger()
    ends = 0
    for key, call in calls:
        before = sum(ledger.ended.values())
        try:
            match call:
                case "dispatch":
                    ledger.dispatch(key)
                case "finish":
                    ledger.finish(key, num_tokens=3)
                case "cut":
                    ledger.cut([key], "stale")
                case "interrupt":
                    ledger.interrupt()
                case event:
                    ledger.end(key, next(one for one in EVENTS if one == event))
        except ValueError:
            assert sum(ledger.ended.values()) == before
        ends += sum(ledger.ended.values()) - before
        assert ledger.num_dispatched == ends + ledger.num_in_flight + ledger.num_ready
        assert 0 <= ledger.wasted_tokens <= ledger.finished_tokens
