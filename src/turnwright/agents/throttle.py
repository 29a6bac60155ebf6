"""Launches at a bounded rate and width, in the order they came."""

import asyncio
from collections.abc import Callable

from turnwright.agents.base import AgentLauncher, AgentReport, nobody
from turnwright.core.errors import ConfigError
from turnwright.core.rollout import RolloutRequest


class Throttled:
    """Implements AgentLauncher over another one.

    A launch that waits can be cancelled; it then uses up nothing. Bounded is what is *being launched*: an agent that
    accepts at once and works on is not counted any more.
    """

    def __init__(
        self, launcher: AgentLauncher, *, max_concurrency: int | None = None, launches_per_second: float | None = None
    ) -> None:
        """Take the launcher.

        Args:
            launcher: Does the launching; closed with this.
            max_concurrency: Most launches at once; None = no bound.
            launches_per_second: Most launches begun per second, evenly spaced; None = no bound.

        Raises:
            ConfigError: a bound is not positive.
        """
        if max_concurrency is not None and max_concurrency < 1:
            raise ConfigError(f"max_concurrency must be at least 1: got {max_concurrency}")
        if launches_per_second is not None and launches_per_second <= 0:
            raise ConfigError(f"launches_per_second must be above 0: got {launches_per_second:g}")
        self._launcher = launcher
        self._places = asyncio.Semaphore(max_concurrency) if max_concurrency is not None else None
        self._interval = 1.0 / launches_per_second if launches_per_second is not None else 0.0
        self._turn = asyncio.Lock()
        self._next_start = 0.0

    async def launch(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> AgentReport | None:
        """Wait for a turn, then launch."""
        if self._places is None:
            return await self._launch_in_turn(request, on_start)
        async with self._places:
            return await self._launch_in_turn(request, on_start)

    async def close(self) -> None:
        """Close the launcher."""
        await self._launcher.close()

    async def _launch_in_turn(self, request: RolloutRequest, on_start: Callable[[], None]) -> AgentReport | None:
        if self._interval:
            async with self._turn:
                clock = asyncio.get_running_loop().time
                await asyncio.sleep(max(0.0, self._next_start - clock()))
                self._next_start = clock() + self._interval
        return await self._launcher.launch(request, on_start)
