"""Limits: how much one trajectory may ask for, and all of them together. What is over is refused, never queued."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from turnwright.gateway.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """What agents may ask of a gateway."""

    max_turns: int | None = None
    """Model calls of one trajectory; None = no limit."""
    max_tokens: int | None = None
    """Tokens that one trajectory may sample in all; None = no limit. Calls in work at once may each use what was left
    when they were made."""
    max_concurrent_calls: int = 16
    """Model calls in work at once within one trajectory."""
    calls_per_second: float = 100.0
    """Model calls per second within one trajectory; as many may come at once, and at least one."""
    max_open: int | None = None
    """Trajectories open at once; None = no limit."""
    max_waiting: int = 4096
    """Model calls in work or waiting over all trajectories."""
    max_body_bytes: int = 8 * 2**20
    """Largest request body."""


class TokenBucket:
    """Lets ``rate`` calls per second through, and as many at once when none came before.

    Example: ``TokenBucket(2.0)`` takes two at once and then one every half second.
    """

    __slots__ = ("_clock", "_left", "_rate", "_seen")

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start full.

        Args:
            rate: Calls per second.
            clock: Seconds, never going back.
        """
        self._rate = rate
        self._clock = clock
        self._left = max(1.0, rate)
        self._seen = clock()

    def take(self) -> float:
        """Take one call and return 0.0, or return the seconds after which one can be taken."""
        now = self._clock()
        self._left = min(max(1.0, self._rate), self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class Admission:
    """Counts the calls of all trajectories and holds them back while the engine is paused."""

    def __init__(self, max_calls: int) -> None:
        """Start with none.

        Args:
            max_calls: Calls that may be in work or waiting at once.
        """
        self.num_calls = 0
        """Calls in work or waiting."""
        self.num_waiting = 0
        """Those of them that wait for the end of a pause."""
        self._max_calls = max_calls
        self._num_pauses = 0
        self._resumed: asyncio.Event | None = None

    def enter(self) -> None:
        """Count one call; ``leave`` must follow. Raises Refusal when there are too many."""
        if self.num_calls >= self._max_calls:
            raise Refusal(
                "throttled",
                f"the gateway is busy: {self.num_calls} calls are in work or waiting, expected fewer than "
                f"gateway.max_waiting = {self._max_calls}; call again in a second",
                reason="busy",
                retry_after=1.0,
            )
        self.num_calls += 1

    def leave(self) -> None:
        """Count one call less."""
        self.num_calls -= 1

    async def ready(self) -> None:
        """Wait while the engine is paused."""
        while self._resumed is not None:
            self.num_waiting += 1
            try:
                await self._resumed.wait()
            finally:
                self.num_waiting -= 1

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[None, None]:
        """Hold back calls that have not begun; pauses may overlap."""
        self._num_pauses += 1
        if self._resumed is None:
            self._resumed = asyncio.Event()
        try:
            yield
        finally:
            self._num_pauses -= 1
            if self._num_pauses == 0:
                self._resumed.set()
                self._resumed = None


def require_within_rate(bucket: TokenBucket, calls_per_second: float) -> None:
    """Take one call from ``bucket``; raises Refusal when it is empty."""
    wait = bucket.take()
    if wait:
        raise Refusal(
            "throttled",
            f"this trajectory calls too often: expected at most gateway.calls_per_second = {calls_per_second:g}; "
            f"call again in {wait:.2g} s",
            reason="rate",
            retry_after=math.ceil(wait * 1000) / 1000,
        )
