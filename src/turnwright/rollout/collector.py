"""Collects attempts: many episodes side by side, each recorded on its own, each handed on the moment it ends.

    wanted attempts -> workers (at most max_concurrency) -> EpisodeRunner -> on_attempt (disk) -> result

A runner is the built-in agent in this process (inprocess.py) or an agent anywhere, reached through the gateway
(external.py).

A worker announces its next episode to the engine before it closes the last one, so that the set of open episodes
depends on how many have ended and not on the clock: deterministic rounds rely on it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed
from turnwright.core.task import Task
from turnwright.gateway.recorder import SamplingLimits
from turnwright.inference.base import Engine
from turnwright.rollout.runner import EpisodeLimits

CHOSEN = frozenset({"skipped"})
"""Causes of failures that are an agent's choice: asking again would get the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One attempt to make."""

    task: Task
    attempt: int

    @property
    def key(self) -> EpisodeKey:
        """Name of the attempt."""
        return EpisodeKey(task_id=self.task.id, attempt=self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings:
    """How episodes are run; names as in [rollout] and [sampling]."""

    seed: int
    """Keys sampling and environments."""
    sampling: SamplingLimits
    limits: EpisodeLimits
    turn_limits: Mapping[str, int] = field(default_factory=dict[str, int])
    """Turn limit by domain; a task of no such domain has that of ``limits``."""
    max_concurrency: int = 96
    max_retries: int = 3
    """How often a failed attempt is made again before it stays failed."""

    def limits_for(self, task: Task) -> EpisodeLimits:
        """Return what may cut an attempt at a task."""
        max_turns = self.turn_limits.get(task.domain or "")
        if max_turns is None:
            return self.limits
        return replace(self.limits, loop=replace(self.limits.loop, max_turns=max_turns))


class EpisodeRunner(Protocol):
    """Makes one attempt, whoever the agent is."""

    @property
    def engine(self) -> Engine:
        """Samples the replies; the collector opens and closes each episode there."""
        ...

    async def run(self, wanted: Wanted, settings: CollectorSettings, executor: Executor) -> Attempt:
        """Make one attempt; what breaks becomes a ``Failed`` outcome, never an exception.

        Args:
            wanted: The attempt to make.
            settings: How.
            executor: Where blocking tools run.
        """
        ...

    def paused(self) -> AbstractAsyncContextManager[object]:
        """Let no new model call begin, as long as weights change."""
        ...


async def collect_attempts(
    runner: EpisodeRunner,
    wanted: Sequence[Wanted],
    settings: CollectorSettings,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> list[Attempt]:
    """Make all wanted attempts and return them in the order they were wanted.

    ``on_attempt`` sees each one as soon as it has ended; what it raises ends the collection.
    """
    engine = runner.engine
    results: list[Attempt | None] = [None] * len(wanted)
    pending = iter(range(len(wanted)))
    num_workers = min(settings.max_concurrency, len(wanted))
    executor = ThreadPoolExecutor(max_workers=max(1, num_workers), thread_name_prefix="tool")

    async def work(index: int | None) -> None:
        while index is not None:
            attempt = await _make_attempt(runner, wanted[index], settings, executor)
            on_attempt(attempt)
            results[index] = attempt
            following = next(pending, None)
            if following is not None:
                engine.open_episode(wanted[following].key)
            engine.close_episode(wanted[index].key)
            index = following

    starts = [next(pending) for _ in range(num_workers)]
    for index in starts:
        engine.open_episode(wanted[index].key)
    try:
        async with asyncio.TaskGroup() as group:
            for index in starts:
                group.create_task(work(index))
    except BaseExceptionGroup as raised:
        # One cause is enough to act on; the others are its echoes in workers that were cancelled with it.
        raise raised.exceptions[0] from raised
    finally:
        for entry in wanted:
            engine.close_episode(entry.key)
        # Without waiting: a tool that never returns has failed its own attempt and must not hold up the others.
        executor.shutdown(wait=False, cancel_futures=True)
    return [attempt for attempt in results if attempt is not None]


async def _make_attempt(
    runner: EpisodeRunner, wanted: Wanted, settings: CollectorSettings, executor: Executor
) -> Attempt:
    retries = 0
    while True:
        attempt = await runner.run(wanted, settings, executor)
        outcome = attempt.episode.outcome
        if isinstance(outcome, Failed) and outcome.cause not in CHOSEN and retries < settings.max_retries:
            retries += 1
            continue
        if not retries:
            return attempt
        metadata = {**attempt.episode.metadata, "retries": str(retries)}
        return replace(attempt, episode=replace(attempt.episode, metadata=metadata))
