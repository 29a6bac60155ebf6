"""Attempts to make: which, how, and by whom.

A runner is the built-in agent in this process (inprocess.py) or an agent anywhere, reached through the gateway
(external.py). Whoever wants attempts asks a pool (pool.py) for them, or collects some at once (collector.py).
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.task import Task
from turnwright.gateway.recorder import SamplingLimits
from turnwright.inference.base import Engine
from turnwright.rollout.runner import EpisodeLimits


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
        """Samples the replies; the pool opens and closes each episode there."""
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
