"""The pool of attempts: who begins when, how many at once, and what giving up leaves behind."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import pytest

from rollout.playing import EPISODES, Play, Player
from rollout.virtual_time import run
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.task import Task
from turnwright.rollout.attempts import CollectorSettings, Wanted
from turnwright.rollout.concurrency import Concurrency, Load
from turnwright.rollout.pool import AttemptPool

WELL = Rewarded(value=1.0)


def wanted(number: int, task: str = "t") -> list[Wanted]:
    return [Wanted(task=Task(id=task, prompt="?"), attempt=attempt) for attempt in range(number)]


def pool_of(player: Player, limit: int) -> AttemptPool:
    return AttemptPool(player, Concurrency.start(lowest=limit, highest=limit))


def numbers(player: Player) -> list[int]:
    return [key.attempt for key in player.played]


def test_attempts_begin_in_order_and_the_next_is_announced_before_the_last_is_closed() -> None:
    player = Player(play=lambda wanted: Play(outcome=WELL, tokens=(1,), pause=1.0 + wanted.attempt % 3))

    async def play() -> list[Attempt]:
        async with pool_of(player, 2) as pool:
            first = pool.submit(wanted(4), EPISODES)
            more = pool.submit(wanted(2, "u"), EPISODES)
            assert (pool.num_in_flight, pool.num_waiting, pool.limit) == (2, 4, 2)
            return await asyncio.gather(*more, *first)

    assert [attempt.episode.key.task_id for attempt in run(play())] == ["u", "u", "t", "t", "t", "t"]
    assert numbers(player) == [0, 1, 2, 3, 0, 1]
    assert player.engine.counts == [1, 2, *[3, 2] * 4, 1, 0]


def test_an_attempt_is_on_disk_and_its_episode_closed_when_it_is_told_of() -> None:
    player, seen = Player(play=lambda wanted: Play(outcome=WELL)), list[int]()

    async def play() -> None:
        async with pool_of(player, 1) as pool:
            futures = pool.submit(wanted(1), EPISODES, lambda attempt: seen.append(len(player.engine.open_episodes)))
            await futures[0]
            assert (seen, player.engine.open_episodes) == ([1], set())

    run(play())


def test_what_is_given_up_never_ends_and_makes_room() -> None:
    player, seen = Player(play=lambda wanted: Play(outcome=WELL, pause=5.0)), list[int]()

    async def play() -> None:
        async with pool_of(player, 2) as pool:
            futures = pool.submit(wanted(5), EPISODES, lambda attempt: seen.append(attempt.episode.key.attempt))
            await asyncio.sleep(1.0)
            pool.cancel([one.key for one in wanted(5) if one.attempt in (0, 3)] + [EpisodeKey(task_id="?", attempt=0)])
            await asyncio.wait(futures)
            assert [future.cancelled() for future in futures] == [True, False, False, True, False]
            assert pool.num_in_flight == pool.num_waiting == 0

    run(play())
    assert numbers(player) == [0, 1, 2, 4]
    assert sorted(seen) == [1, 2, 4]
    assert not player.engine.open_episodes


def test_a_hold_lets_what_runs_end_and_nothing_begin() -> None:
    player = Player(play=lambda wanted: Play(outcome=WELL, pause=1.0))

    async def play() -> None:
        async with pool_of(player, 2) as pool:
            futures = pool.submit(wanted(4), EPISODES)
            pool.hold()
            await asyncio.sleep(50.0)
            assert (numbers(player), pool.num_in_flight, pool.num_waiting) == ([0, 1], 0, 2)
            pool.go_on()
            await asyncio.gather(*futures)

    run(play())


def test_what_a_key_that_is_open_already_raises_reaches_whoever_wants_it() -> None:
    player = Player(play=lambda wanted: Play(outcome=WELL, pause=1.0))

    async def play() -> None:
        async with pool_of(player, 3) as pool:
            futures = pool.submit([*wanted(1), *wanted(2)], EPISODES)
            with pytest.raises(ValueError, match="is already open"):
                await futures[1]
            await asyncio.gather(futures[0], futures[2])

    run(play())
    assert not player.engine.open_episodes


def test_failures_are_tried_again_but_not_what_an_agent_chose() -> None:
    causes = {0: "tool_error", 1: "skipped"}
    player = Player(play=lambda wanted: Play(outcome=Failed(cause=causes[wanted.attempt])))

    async def play() -> list[Attempt]:
        async with pool_of(player, 2) as pool:
            return await asyncio.gather(*pool.submit(wanted(2), replace(EPISODES, max_retries=2)))

    made = run(play())
    assert [attempt.episode.metadata for attempt in made] == [{"retries": "2"}, {}]
    assert sorted(numbers(player)) == [0, 0, 0, 1]


@pytest.mark.parametrize(("waiting", "limit"), [(0, 15), (40, 8)])
def test_the_limit_follows_the_load(waiting: int, limit: int) -> None:
    """8 at first; a look each second: 10, 12, 15 while nobody waits, and never below 8 where many do."""
    player = Player(play=lambda wanted: Play(outcome=WELL, pause=100.0))

    async def play() -> None:
        def load() -> Load:
            return Load(in_flight=pool.num_in_flight, in_work=pool.num_in_flight, waiting=waiting)

        pool = AttemptPool(player, Concurrency.start(lowest=8, highest=96), load)
        async with pool:
            pool.submit(wanted(99), EPISODES)
            await asyncio.sleep(3.5)
            assert (pool.limit, pool.num_in_flight) == (limit, limit)

    run(play())
    assert not player.engine.open_episodes


class Hanging(Player):
    """The first attempts' tools never return; the others' do."""

    def __init__(self, hung: int) -> None:
        super().__init__(play=lambda wanted: Play(outcome=WELL))
        self.hung = hung
        self.release = threading.Event()

    async def run(self, wanted: Wanted, settings: CollectorSettings, executor: Executor) -> Attempt:
        tool: Callable[[], object] = self.release.wait if wanted.attempt < self.hung else time.perf_counter
        try:
            async with asyncio.timeout(0.01 if wanted.attempt < self.hung else 20):
                await asyncio.get_running_loop().run_in_executor(executor, tool)
        except TimeoutError:
            attempt = await super().run(wanted, settings, executor)
            return replace(attempt, episode=replace(attempt.episode, outcome=Failed(cause="tool_timeout")))
        return await super().run(wanted, settings, executor)


def test_tools_that_never_return_starve_nobody_and_threads_of_the_others_end() -> None:
    player = Hanging(hung=6)

    async def play() -> list[Attempt]:
        async with pool_of(player, 2) as pool:
            return await asyncio.gather(*pool.submit(wanted(20), replace(EPISODES, max_retries=1)))

    before = threading.active_count()
    try:
        made = asyncio.run(play())
        assert [isinstance(attempt.episode.outcome, Failed) for attempt in made] == [True] * 6 + [False] * 14
        deadline = time.monotonic() + 20
        while threading.active_count() > before + 12 and time.monotonic() < deadline:
            time.sleep(0.001)
        # Two tries each.
        assert threading.active_count() == before + 12
    finally:
        player.release.set()
