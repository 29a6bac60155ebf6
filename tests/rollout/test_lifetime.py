"""Where an environment that waits opens, grades and closes: beside the event loop, and a close after every open."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from rollout.desk import DONE, KEY, LOOK, TASK, Desk, Told
from turnwright.agents.builtin import LoopLimits
from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment
from turnwright.environments.resources.base import Resource
from turnwright.environments.resources.folder import TemporaryFolder
from turnwright.environments.stateful import StatefulEnvironment
from turnwright.rollout.runner import EpisodeLimits, run_episode

LIMITS = EpisodeLimits(loop=LoopLimits(max_turns=4))
PATIENCE_SECONDS = 20.0


class Warehouse(Desk):
    """A desk that waits, notes in which thread, and stops in one method until it is released."""

    waits = True

    def __init__(self, *, stops_in: str = "") -> None:
        super().__init__()
        self.stops_in = stops_in
        self.threads: list[str] = []
        self.reached = threading.Event()
        """Set when it has stopped."""
        self.closed = threading.Event()

    def open(self, task: Task, seed: int) -> None:
        self._stop("open")
        super().open(task, seed)

    def close(self) -> None:
        self._stop("close")
        super().close()
        self.closed.set()

    def reward(self, episode: Episode) -> float:
        self._stop("reward")
        return super().reward(episode)

    def _stop(self, method: str) -> None:
        self.threads.append(threading.current_thread().name)
        if method == self.stops_in:
            self.reached.set()
            assert self.release.wait(PATIENCE_SECONDS)


def on_threads(body: Callable[[ThreadPoolExecutor], "asyncio.Task[Episode]"]) -> object:
    """Run what ``body`` starts with threads of its own, and return the episode or what it raised."""

    async def main() -> object:
        (ended,) = await asyncio.gather(body(executor), return_exceptions=True)
        return ended

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="tool") as executor:
        return asyncio.run(main())


def start(environment: Environment, executor: ThreadPoolExecutor, limits: EpisodeLimits = LIMITS):
    return asyncio.create_task(run_episode(environment, TASK, KEY, Told(LOOK, DONE), limits, seed=1, executor=executor))


def test_an_environment_that_waits_leaves_the_event_loop_alone():
    warehouse = Warehouse()
    episode = on_threads(lambda executor: start(warehouse, executor))
    assert isinstance(episode, Episode)
    assert episode.outcome == Rewarded(value=1.0)
    assert warehouse.log == ["open", "O3", "reward", "close"]
    assert threading.current_thread().name not in warehouse.threads


def test_without_threads_or_without_waiting_all_runs_inline():
    warehouse, plain = Warehouse(), Warehouse()
    asyncio.run(run_episode(warehouse, TASK, KEY, Told(LOOK, DONE), LIMITS, seed=1))
    plain.waits = False
    on_threads(lambda executor: start(plain, executor))
    assert set(plain.threads + warehouse.threads) == {threading.current_thread().name}


@pytest.mark.parametrize("method", ["open", "reward", "close"])
def test_other_episodes_go_on_meanwhile(method: str):
    warehouse = Warehouse(stops_in=method)

    async def play(executor: ThreadPoolExecutor) -> Episode:
        waiting = start(warehouse, executor)
        await asyncio.to_thread(warehouse.reached.wait, PATIENCE_SECONDS)
        other = await start(Desk(), executor)
        assert other.outcome == Rewarded(value=1.0)
        assert not waiting.done()
        warehouse.release.set()
        return await waiting

    episode = on_threads(lambda executor: asyncio.create_task(play(executor)))
    assert isinstance(episode, Episode)
    assert episode.outcome == Rewarded(value=1.0)


@pytest.mark.parametrize(
    ("method", "log"), [("open", ["open", "close"]), ("reward", ["open", "O3", "close", "reward"])]
)
def test_a_cancelled_episode_closes_what_its_thread_makes_later(method: str, log: list[str]):
    warehouse = Warehouse(stops_in=method)

    async def cancel(executor: ThreadPoolExecutor) -> Episode:
        playing = start(warehouse, executor)
        await asyncio.to_thread(warehouse.reached.wait, PATIENCE_SECONDS)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        assert playing.cancelled()
        # The cancelled episode waits for nobody: its thread is still where it was.
        warehouse.release.set()
        return await playing

    ended = on_threads(lambda executor: asyncio.create_task(cancel(executor)))
    assert isinstance(ended, asyncio.CancelledError)
    assert warehouse.closed.wait(PATIENCE_SECONDS)
    assert warehouse.log == log


def test_an_open_whose_turn_never_came_is_not_closed():
    warehouse = Warehouse()

    async def cancel(executor: ThreadPoolExecutor) -> Episode:
        blocked = threading.Event()
        for _ in range(2):
            executor.submit(blocked.wait, PATIENCE_SECONDS)
        playing = start(warehouse, executor)
        await asyncio.sleep(0)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        blocked.set()
        return await playing

    assert isinstance(on_threads(lambda executor: asyncio.create_task(cancel(executor))), asyncio.CancelledError)
    assert warehouse.log == warehouse.threads == []


def test_a_second_cancellation_does_not_keep_it_from_closing():
    warehouse = Warehouse(stops_in="close")

    async def cancel(executor: ThreadPoolExecutor) -> Episode:
        playing = start(warehouse, executor)
        await asyncio.to_thread(warehouse.reached.wait, PATIENCE_SECONDS)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        warehouse.release.set()
        return await playing

    assert isinstance(on_threads(lambda executor: asyncio.create_task(cancel(executor))), asyncio.CancelledError)
    assert warehouse.log[-1] == "close"


@pytest.mark.parametrize("method", ["open", "reward"])
def test_time_runs_out_in_open_and_reward_too(method: str):
    warehouse = Warehouse(stops_in=method)

    async def play(executor: ThreadPoolExecutor) -> Episode:
        try:
            return await start(warehouse, executor, replace(LIMITS, timeout_seconds=0.05))
        finally:
            warehouse.release.set()

    episode = on_threads(lambda executor: asyncio.create_task(play(executor)))
    assert isinstance(episode, Episode)
    assert episode.outcome == Failed(cause="timeout", detail="no end within 0.05 s")
    assert warehouse.closed.wait(PATIENCE_SECONDS)


def test_closes_are_not_held_up_by_tools_that_fill_the_threads():
    """Both threads hold a tool that only a close ends, as a statement that runs forever does."""

    class Blocking(Warehouse):
        def close(self) -> None:
            self.release.set()
            super().close()

    environments = [Blocking(), Blocking()]
    limits = EpisodeLimits(loop=LoopLimits(max_turns=4, tool_timeout=0.05))
    hang = replace(LOOK, tool_calls=(replace(LOOK.tool_calls[0], arguments='{"order": "hang"}'),))

    async def play(executor: ThreadPoolExecutor) -> None:
        playing = [run_episode(one, TASK, KEY, Told(hang), limits, seed=1, executor=executor) for one in environments]
        for episode in await asyncio.gather(*playing):
            assert isinstance(episode.outcome, Failed)
            assert episode.outcome.cause == "tool_timeout"

    with ThreadPoolExecutor(max_workers=2) as executor:
        asyncio.run(play(executor))
    assert all(one.closed.is_set() for one in environments)


def test_an_environment_waits_where_one_of_its_resources_does():
    class Server(Resource[str]):
        @contextmanager
        def opened(self, task: Task, seed: int) -> Iterator[str]:
            yield threading.current_thread().name

    class Served(StatefulEnvironment):
        def tasks(self, split: Split) -> list[Task]:
            return [TASK]

        def reward(self, episode: Episode) -> float:
            return float(self.resource("server").startswith("tool"))

    served, remote = Served(), Server()
    served.resources = {"file": TemporaryFolder(), "server": remote}
    assert not served.for_episode().waits
    episode = on_threads(lambda executor: start(served, executor))
    assert isinstance(episode, Episode)
    assert episode.outcome == Rewarded(value=0.0)
    remote.waits = True
    assert served.for_episode().waits
    episode = on_threads(lambda executor: start(served, executor))
    assert isinstance(episode, Episode)
    assert episode.outcome == Rewarded(value=1.0)
