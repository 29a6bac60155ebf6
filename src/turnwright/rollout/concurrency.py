"""Concurrency: how many episodes to keep in flight, from what the engine says about its queue.

    engine idle, limit reached   -->  more, by a quarter      (episodes wait for their tools, not for the engine)
    queue long, twice in a row   -->  fewer, by a fifth        (more wait than are in work: episodes grow stale)
    otherwise                    -->  as many as before

Between the two marks nothing moves, so that a steady load has a steady limit. Growth and decline are geometric: the
limit crosses its whole range in few observations, and overshoots by at most one step.
"""

from dataclasses import dataclass, replace
from typing import Self

GROWTH = 1.25
DECLINE = 0.8
SHORT_QUEUE = 2
"""Requests that may always wait: with few slots one step of growth is as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one observation says."""

    in_flight: int
    """Episodes that run."""
    in_work: int
    """Requests that the engine works on."""
    waiting: int
    """Requests that wait for a slot of the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """The limit on episodes in flight, and what was seen before it.

    Example: from ``Concurrency.start(lowest=8, highest=96)`` = 8, an engine without a queue while 8 episodes run gives
    10, then 12, 15 and so on.
    """

    lowest: int
    highest: int
    limit: int
    long_before: bool = False
    """Whether the queue was long at the last observation."""

    @classmethod
    def start(cls, *, lowest: int, highest: int) -> Self:
        """Begin at the lowest limit.

        Raises ValueError when the limits do not make a range.
        """
        if not 1 <= lowest <= highest:
            raise ValueError(f"concurrency needs 1 <= lowest <= highest: got {lowest} and {highest}")
        return cls(lowest=lowest, highest=highest, limit=lowest)

    def observe(self, load: Load) -> Self:
        """Return the limit after one more observation."""
        long = load.waiting > max(SHORT_QUEUE, load.in_work)
        limit = self.limit
        if long and self.long_before:
            limit = max(self.lowest, int(limit * DECLINE))
        elif not load.waiting and load.in_flight >= limit:
            limit = min(self.highest, max(limit + 1, int(limit * GROWTH)))
        return replace(self, limit=limit, long_before=long)
