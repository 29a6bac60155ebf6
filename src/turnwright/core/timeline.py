"""Timeline: where the wall time of a run goes, every moment counted once.

Several things are on at a time: the engine computes while the learner trains, episodes are in flight while both do. A
moment belongs to the first of these that is on:

    evaluation > weight_update > checkpoint > training       the learner or the whole run is at work
    > generation > tools > waiting                           the learner waits: the engine computes | episodes are in
                                                             flight and the engine has nothing to do | neither
    > other                                                  none is on

so that the seconds of all states add up to the wall time. Busy seconds count each activity for itself, whatever else
is on: generation is then how long the engine computed, and what it computed under the learner's training is overlap.
"""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Literal, get_args

Activity = Literal["evaluation", "weight_update", "checkpoint", "training", "generation", "tools", "waiting"]
"""What can be on, in order of priority; tools = an episode is in flight, waiting = the learner waits for groups."""
State = Literal[Activity, "other"]

ACTIVITIES: tuple[Activity, ...] = get_args(Activity)
ROLLOUT: tuple[State, ...] = ("generation", "tools", "waiting")
"""States in which the learner waits for groups."""
METRICS: Mapping[State, str] = {
    "generation": "timing_s/generation",
    "tools": "timing_s/tools",
    "waiting": "timing_s/waiting",
    "training": "timing_s/training",
    "weight_update": "timing_s/weight_update",
    "evaluation": "timing_s/eval",
    "checkpoint": "timing_s/save_checkpoint",
    "other": "timing_s/other",
}
"""Name of each state's seconds, in the order in which a step goes through them."""


class Timeline:
    """Counts seconds per state. For one thread, the event loop's.

    Example: the engine computes for 3 s, and the learner trains during the last of them::

        timeline.set("generation", True)    # at 0 s
        with timeline.span("training"):     # from 2 s to 3 s
            ...
        timeline.take()                     # {"training": 1.0, "generation": 2.0, ...: 0.0}
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin now with nothing on; ``clock`` tells the seconds."""
        self._clock = clock
        self._on: dict[Activity, int] = dict.fromkeys(ACTIVITIES, 0)
        self._since = clock()
        self._clear()

    @property
    def state(self) -> State:
        """What this moment belongs to."""
        for activity, count in self._on.items():
            if count:
                return activity
        return "other"

    def set(self, activity: Activity, on: bool) -> None:
        """Say that an activity begins or ends somewhere; it is on until it has ended as often as it began.

        Raises ValueError for the end of one that is not on.
        """
        if not on and not self._on[activity]:
            raise ValueError(f"'{activity}' cannot end: it is not on; expected set('{activity}', True) before")
        self._advance()
        self._on[activity] += 1 if on else -1

    @contextmanager
    def span(self, activity: Activity) -> Generator[None]:
        """Have an activity on inside the block."""
        self.set(activity, True)
        try:
            yield
        finally:
            self.set(activity, False)

    def take(self) -> dict[State, float]:
        """Return the seconds per state since the last take; their sum is the wall time in between."""
        self._advance()
        seconds = self._seconds
        self._clear()
        return seconds

    def metrics(self) -> dict[str, float]:
        """Take, as a step's metrics.

        ``timing_s/<state>`` add up to ``timing_s/step``, ``timing_s/rollout`` is the part in which the learner waits;
        ``busy_s/<activity>`` overlap, and ``busy_s/overlap`` is how long engine and learner computed at once.
        """
        self._advance()
        busy, overlap = self._busy, self._overlap
        seconds = self.take()
        return {
            **{METRICS[state]: value for state, value in seconds.items()},
            "timing_s/rollout": sum(seconds[state] for state in ROLLOUT),
            "timing_s/step": sum(seconds.values()),
            "busy_s/generation": busy["generation"],
            "busy_s/training": busy["training"],
            "busy_s/tools": busy["tools"],
            "busy_s/overlap": overlap,
        }

    def _advance(self) -> None:
        now = self._clock()
        passed, self._since = now - self._since, now
        self._seconds[self.state] += passed
        for activity, count in self._on.items():
            if count:
                self._busy[activity] += passed
        if self._on["generation"] and self._on["training"]:
            self._overlap += passed

    def _clear(self) -> None:
        self._seconds: dict[State, float] = dict.fromkeys(METRICS, 0.0)
        self._busy = dict.fromkeys(ACTIVITIES, 0.0)
        self._overlap = 0.0


def time_shares(values: Mapping[str, float]) -> dict[str, float]:
    """Return the part of a step's wall time per state, in the order of ``METRICS``; empty for metrics without times.

    Metrics that do not divide the rollout into its states have it whole, as "rollout".
    """
    step = values.get("timing_s/step", 0.0)
    if not step > 0:
        return {}
    names = dict(METRICS) if METRICS["generation"] in values else {"rollout": "timing_s/rollout", **_UNDIVIDED}
    shares = {state: values[name] / step for state, name in names.items() if values.get(name, 0.0) > 0}
    if METRICS["other"] not in values and (rest := 1 - sum(shares.values())) > 0:
        shares["other"] = rest
    return shares


_UNDIVIDED = {state: name for state, name in METRICS.items() if state not in ROLLOUT}
