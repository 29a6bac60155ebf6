"""Launches at a bounded rate and width."""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from turnwright.agents.base import nobody
from turnwright.agents.throttle import Throttled
from turnwright.core.errors import ConfigError
from turnwright.core.rollout import RolloutRequest


class Gate:
    """A launcher whose launches last until the gate is opened."""

    def __init__(self) -> None:
        self.started: list[tuple[str, float]] = []
        self.num_running = 0
        self.most_running = 0
        self.open = asyncio.Event()
        self.is_closed = False

    async def launch(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> None:
        on_start()
        self.started.append((request.trajectory_id, asyncio.get_running_loop().time()))
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        try:
            await self.open.wait()
        finally:
            self.num_running -= 1

    async def close(self) -> None:
        self.is_closed = True


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_no_more_than_so_many_at_once_and_first_come_first_served(rollout) -> None:
    async def go() -> None:
        gate = Gate()
        throttled = Throttled(gate, max_concurrency=3)
        launches = [asyncio.create_task(throttled.launch(rollout(trajectory_id=f"t-{i}"))) for i in range(10)]
        await settle()
        assert [name for name, _ in gate.started] == ["t-0", "t-1", "t-2"]
        launches[3].cancel()  # waits
        launches[0].cancel()  # runs
        await settle()
        assert [name for name, _ in gate.started] == ["t-0", "t-1", "t-2", "t-4"]
        gate.open.set()
        await asyncio.gather(*launches, return_exceptions=True)
        assert [name for name, _ in gate.started] == [f"t-{i}" for i in (0, 1, 2, 4, 5, 6, 7, 8, 9)]
        assert (gate.most_running, gate.num_running) == (3, 0)
        await throttled.close()
        assert gate.is_closed

    asyncio.run(go())


def test_launches_are_evenly_spaced_and_a_cancelled_one_uses_up_nothing(rollout) -> None:
    async def go() -> None:
        gate = Gate()
        gate.open.set()
        throttled = Throttled(gate, launches_per_second=10)
        began = asyncio.get_running_loop().time()
        told: list[int] = []
        launches = [
            asyncio.create_task(throttled.launch(rollout(trajectory_id=f"t-{i}"), partial(told.append, i)))
            for i in range(6)
        ]
        await settle()
        assert told == [0], "who waits for its turn has not started"
        launches[1].cancel()  # its turn, in its pause
        launches[4].cancel()  # behind others
        await asyncio.gather(*launches, return_exceptions=True)
        names, times = zip(*gate.started, strict=True)
        assert names == ("t-0", "t-2", "t-3", "t-5")
        assert all(later - earlier >= 0.095 for earlier, later in pairwise(times))
        assert times[-1] - began < 0.45  # three pauses; five would be 0.5 s

    asyncio.run(go())


def test_bounds_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="max_concurrency must be at least 1: got 0"):
        Throttled(Gate(), max_concurrency=0)
    with pytest.raises(ConfigError, match="launches_per_second must be above 0: got 0"):
        Throttled(Gate(), launches_per_second=0)
