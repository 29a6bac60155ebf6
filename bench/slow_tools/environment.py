"""Environments of the gallery whose tools take their time: awaited, so that a slow call holds no core.

Each call waits for ``latency(seed, task, attempt, call)``. An environment is not told which attempt it plays; attempts
at a task are opened in order, so the n-th opening is the n-th attempt, whatever else is going on. One that failed and
is made again counts as a further one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from slow_tools.latency import latency

from turnwright.core.errors import ConfigError
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.gallery.procedures.environment import GeneratedProcedures
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk
from turnwright.environments.tools import Tool


class SlowTools(Environment):
    """Mixed into an environment whose tools compute and never wait."""

    def __init__(self, *, latency_scale: float = 1.0, **options: Any) -> None:
        """Take a factor on all latencies, and the environment's own options."""
        if latency_scale < 0:
            raise ConfigError(f"latency_scale = {latency_scale} is out of range: expected 0 or more")
        super().__init__(**options)
        self._scale = latency_scale
        # Shared by the copies of all episodes.
        self._opened = Counter[str]()

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode, the next attempt at its task."""
        super().open(task, seed)
        self._attempt = self._opened[task.id]
        self._opened[task.id] += 1
        self._calls = 0

    def tools(self) -> Mapping[str, Tool]:
        """Return the environment's own tools, each behind its wait."""
        return {name: replace(tool, function=partial(_slowly, tool.function)) for name, tool in super().tools().items()}

    def next_latency(self) -> float:
        """Return the seconds of the episode's next call."""
        call = self._calls
        self._calls += 1
        return latency(seed=self.seed, task=self.task.id, attempt=self._attempt, call=call, scale=self._scale)


class SlowReturnsDesk(SlowTools, ReturnsDesk):
    """The demo's desk behind slow services."""


class SlowProcedures(SlowTools, GeneratedProcedures):
    """Generated procedures behind slow services: the shipped policy plays them without further training."""


async def _slowly(function: Callable[..., Any], environment: SlowTools, /, **arguments: Any) -> Any:
    await asyncio.sleep(environment.next_latency())
    return function(environment, **arguments)
