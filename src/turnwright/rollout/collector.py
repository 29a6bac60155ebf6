"""Collects attempts: many episodes side by side, each through its own recorder, each handed on the moment it ends.

    wanted attempts -> workers (at most max_concurrency) -> run_episode -> on_attempt (disk) -> result

A worker announces its next episode to the engine before it closes the last one, so that the set of open episodes
depends on how many have ended and not on the clock: deterministic rounds rely on it.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.gateway.recorder import Recorder, SamplingLimits
from turnwright.inference.base import Engine
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.runner import EpisodeLimits, run_episode


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
    max_concurrency: int = 96
    max_retries: int = 3
    """How often a failed attempt is made again before it stays failed."""


async def collect_attempts(
    prototype: Environment,
    renderer: Renderer,
    engine: Engine,
    wanted: Sequence[Wanted],
    settings: CollectorSettings,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> list[Attempt]:
    """Make all wanted attempts and return them in the order they were wanted.

    ``on_attempt`` sees each one as soon as it has ended; what it raises ends the collection.
    """
    results: list[Attempt | None] = [None] * len(wanted)
    pending = iter(range(len(wanted)))
    num_workers = min(settings.max_concurrency, len(wanted))
    executor = ThreadPoolExecutor(max_workers=max(1, num_workers), thread_name_prefix="tool")

    async def work(index: int | None) -> None:
        while index is not None:
            attempt = await _make_attempt(prototype, renderer, engine, wanted[index], settings, executor)
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
    prototype: Environment,
    renderer: Renderer,
    engine: Engine,
    wanted: Wanted,
    settings: CollectorSettings,
    executor: ThreadPoolExecutor,
) -> Attempt:
    retries = 0
    while True:
        recorder = Recorder(wanted.key, renderer, engine, sampling=settings.sampling, run_seed=settings.seed)
        episode = await run_episode(
            prototype, wanted.task, wanted.key, recorder, settings.limits, seed=settings.seed, executor=executor
        )
        if not isinstance(episode.outcome, Failed) or retries >= settings.max_retries:
            if retries:
                episode = replace(episode, metadata={**episode.metadata, "retries": str(retries)})
            return Attempt(episode=episode, trajectory=recorder.trajectory())
        retries += 1
