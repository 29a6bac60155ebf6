"""The limit on episodes in flight: it finds what an engine can take, stays there, and never leaves its range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.rollout.concurrency import Concurrency, Load


def test_it_grows_while_the_engine_has_no_queue() -> None:
    limit, seen = Concurrency.start(lowest=8, highest=20), []
    for _ in range(6):
        limit = limit.observe(Load(in_flight=limit.limit, in_work=3, waiting=0))
        seen.append(limit.limit)
    assert seen == [10, 12, 15, 18, 20, 20]


def test_it_declines_only_when_the_queue_stays_long() -> None:
    limit = Concurrency(lowest=8, highest=100, limit=50)
    long, short = Load(in_flight=50, in_work=8, waiting=9), Load(in_flight=50, in_work=8, waiting=8)
    once = limit.observe(long)
    assert (once.limit, once.observe(short).limit) == (50, 50)
    assert once.observe(long).limit == 40
    assert once.observe(long).observe(long).limit == 32


def test_a_limit_that_is_not_reached_is_left_alone() -> None:
    limit = Concurrency(lowest=8, highest=100, limit=50)
    assert limit.observe(Load(in_flight=49, in_work=8, waiting=0)).limit == 50


@pytest.mark.parametrize(("lowest", "highest"), [(0, 4), (5, 4)])
def test_limits_that_are_no_range_are_refused(lowest: int, highest: int) -> None:
    with pytest.raises(ValueError, match=f"got {lowest} and {highest}"):
        Concurrency.start(lowest=lowest, highest=highest)


@given(
    slots=st.integers(1, 64),
    busy=st.floats(0.05, 1.0),
    lowest=st.integers(1, 16),
    extra=st.integers(0, 200),
)
def test_it_settles_where_the_engine_is_full(slots: int, busy: float, lowest: int, extra: int) -> None:
    """Each episode asks the engine for a share of its time; the engine serves so many at once."""
    limit = Concurrency.start(lowest=lowest, highest=lowest + extra)
    seen: list[int] = []
    for _ in range(80):
        asking = round(limit.limit * busy)
        load = Load(in_flight=limit.limit, in_work=min(asking, slots), waiting=max(0, asking - slots))
        limit = limit.observe(load)
        seen.append(limit.limit)
    assert all(lowest <= one <= lowest + extra for one in seen)
    assert seen[-1] == seen[-20], "a steady load has a steady limit"
    full = round(seen[-1] * busy) >= slots
    assert full or seen[-1] == lowest + extra
