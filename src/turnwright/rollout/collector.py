"""Collects attempts: those that are wanted in, the same in the same order out, each handed on the moment it ends."""

import asyncio
from collections.abc import Callable, Sequence

from turnwright.core.group import Attempt
from turnwright.rollout.attempts import CollectorSettings, EpisodeRunner, Wanted
from turnwright.rollout.concurrency import Concurrency
from turnwright.rollout.pool import AttemptPool


async def collect_attempts(
    runner: EpisodeRunner,
    wanted: Sequence[Wanted],
    settings: CollectorSettings,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> list[Attempt]:
    """Make all wanted attempts and return them in the order they were wanted.

    ``on_attempt`` sees each one as soon as it has ended; what it raises ends the collection.
    """
    most = settings.max_concurrency
    async with AttemptPool(runner, Concurrency.start(lowest=most, highest=most)) as pool:
        return list(await asyncio.gather(*pool.submit(wanted, settings, on_attempt)))
