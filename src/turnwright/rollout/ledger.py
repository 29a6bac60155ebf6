"""Ledger of rollouts: what became of each one that was dispatched, so that none is lost, and none counted twice.

    dispatch --> in flight --> ready --> trained | failed | filtered | no_signal | stale
                    |
                    +--> stale (its group was given up) | interrupted (the run stopped)

At any moment the dispatched ones are those in flight, those ready and those that ended, each in exactly one event.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, get_args

from turnwright.core.episode import EpisodeKey

Event = Literal["trained", "failed", "filtered", "no_signal", "stale", "interrupted"]
"""How a rollout ends: handed to the learner; failed for good; left out because it repeats itself; in a group without
signal; in a group that was given up for its age; cut off when the run stopped."""
EVENTS: tuple[Event, ...] = get_args(Event)
WHILE_IN_FLIGHT: frozenset[Event] = frozenset({"stale", "interrupted"})


class RolloutLedger:
    """Follows every rollout of a run from its dispatch to its end.

    Example: of two that are dispatched one finishes with 40 tokens and its group is given up: both end as stale, and 40
    of 40 finished tokens are wasted.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.num_dispatched = 0
        self.finished_tokens = 0
        """Tokens of rollouts that were not cut off."""
        self.wasted_tokens = 0
        """Those of them whose group was given up."""
        self.ended = Counter[Event]()
        self._in_flight = set[EpisodeKey]()
        self._ready: dict[EpisodeKey, int] = {}

    @property
    def num_in_flight(self) -> int:
        """Rollouts that run."""
        return len(self._in_flight)

    @property
    def num_ready(self) -> int:
        """Rollouts that have ended and wait for their group, or with it."""
        return len(self._ready)

    def dispatch(self, key: EpisodeKey) -> None:
        """Take note that a rollout begins; raises ValueError while one of this key is in the books."""
        if key in self._in_flight or key in self._ready:
            raise ValueError(f"rollout {key} was dispatched already: expected it to end first")
        self._in_flight.add(key)
        self.num_dispatched += 1

    def finish(self, key: EpisodeKey, *, num_tokens: int) -> None:
        """Take note that a rollout has come to its own end; raises ValueError for one that is not in flight."""
        if key not in self._in_flight:
            raise ValueError(f"rollout {key} cannot finish: it is not in flight")
        self._in_flight.remove(key)
        self._ready[key] = num_tokens
        self.finished_tokens += num_tokens

    def end(self, key: EpisodeKey, event: Event) -> None:
        """Close the books of a rollout.

        Raises ValueError for one that is not in the books, and where the event cannot be its end.
        """
        if key in self._in_flight and event in WHILE_IN_FLIGHT:
            self._in_flight.remove(key)
        elif key in self._ready and event != "interrupted":
            num_tokens = self._ready.pop(key)
            self.wasted_tokens += num_tokens if event == "stale" else 0
        else:
            state = "in flight" if key in self._in_flight else "ready" if key in self._ready else "not in the books"
            raise ValueError(f"rollout {key} cannot end as {event}: it is {state}")
        self.ended[event] += 1

    def cut(self, keys: Iterable[EpisodeKey], event: Literal["stale", "interrupted"]) -> None:
        """End those of some rollouts that are in flight."""
        for key in self._in_flight.intersection(keys):
            self.end(key, event)

    def interrupt(self) -> None:
        """End all that are in flight: the run stops."""
        self.cut(tuple(self._in_flight), "interrupted")
