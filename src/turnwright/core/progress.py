"""Progress: what every part of a run is at, and what of it has not moved for too long.

    engine, tools, learner, agents, tracking --begin, end, watch--> ProgressBoard --look--> Watchdog --> lines that name
                                                                                                          what hangs

A part says what it begins and that it has ended it; one that would have to say so in too many places is looked at
instead. Both cost an entry in a dictionary. What is idle is not on the board, so a part hangs when its entry stays the
same; when nothing is on the board and nothing has moved either, the run itself hangs.

Names are ``<kind> <which>``: "engine", "tool lookup of order-4#2", "agent order-4#2". The kind says what to do.
"""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from turnwright.core.protocols import Progress

RUN = "run"
"""The part whose entry says where the run stands; it hangs only when nothing moves."""
LOOP = "loop"
"""The event loop, whose entry stays when it does not come to run."""
DISK = "disk"
"""The run directory, when the event loop is held up by writing there."""

CURES: Mapping[str, str] = {
    "engine": "a pass that does not end: look at the GPU (nvidia-smi) and the stacks; stop the run and use --resume",
    "learner": "lower learner.tokens_per_microbatch, or raise run.watchdog_seconds when passes are this slow",
    "tool": "give the tool a time-out of its own, or lower rollout.tool_timeout",
    "environment": "look at what its open or reward waits for, or lower rollout.rollout_timeout",
    "agent": "look at the agent's own log, or lower rollout.rollout_timeout",
    DISK: "look at the file system of the run directory: is a network disk away?",
    "tracking": "the run goes on without it, and what it misses is shown later; look at tracking.mlflow_uri",
    LOOP: "what waits there must not: give the tool a coroutine, or set `waits = True` on its environment",
    RUN: "no part of it is at work: the stacks say what waits for what; stop the run and use --resume",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a part is at."""

    on: str
    """In words."""
    since: float
    """When it was first seen at it, in seconds of the board's clock."""


class ProgressBoard:
    """Implements Progress; written from any thread.

    Example::

        board.begin("tool lookup of order-4#2", "turn 3")
        board.end("tool lookup of order-4#2")
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin empty; ``clock`` tells the seconds."""
        self.clock = clock
        self.moved = clock()
        """When anything but the run's own entry last changed."""
        self._work: dict[str, Work] = {}
        self._looks: dict[str, Callable[[], str | None]] = {}
        self._seen: dict[str, Work] = {}

    def begin(self, part: str, on: str) -> None:
        """Take note that a part begins something; what it was at has ended."""
        now = self.clock()
        self._work[part] = Work(on=on, since=now)
        if part != RUN:
            self.moved = now

    def end(self, part: str) -> None:
        """Take note that a part is idle, or gone."""
        self._work.pop(part, None)
        self._looks.pop(part, None)
        self.moved = self.clock()

    def watch(self, part: str, look: Callable[[], str | None]) -> None:
        """Look at a part from now on, until its end; it moves whenever ``look`` returns something else."""
        self._looks[part] = look
        self.moved = self.clock()

    def look(self) -> Mapping[str, Work]:
        """Return what every part is at; for the one thread that watches."""
        now, seen = self.clock(), dict[str, Work]()
        # Copies: other threads write while this one reads.
        for part, look in self._looks.copy().items():
            on, before = look(), self._seen.get(part)
            if before is None or before.on != on:
                self.moved = now
                before = Work(on=on or "", since=now)
            seen[part] = before
        self._seen = seen
        return self._work.copy() | {part: work for part, work in seen.items() if work.on}


@contextmanager
def working(progress: Progress, part: str, on: str) -> Generator[None]:
    """Have a part on the board as long as the block runs."""
    progress.begin(part, on)
    try:
        yield
    finally:
        progress.end(part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A part that does not move, and others of its kind."""

    part: str
    """The one that has not moved for the longest time."""
    on: str
    seconds: float
    others: int = 0
    """How many more of the kind do not move."""

    @property
    def kind(self) -> str:
        """The first word of the part's name."""
        return self.part.partition(" ")[0]

    def __str__(self) -> str:
        """Name the part, what it is at, how long, and the cure."""
        more = f" (and {self.others} more)" if self.others else ""
        cure = CURES.get(self.kind, "the stacks say what it waits for")
        return f"{self.part}{more} has not moved for {self.seconds:.0f} s: {self.on}; {cure}"


@dataclass(slots=True)
class _Said:
    part: str
    since: float
    due: float
    """When it is said again."""


class Watchdog:
    """Tells what has not moved, first after a limit and then each time it has taken twice as long.

    Example: with a limit of 300 s a tool that never returns is named after 300, 600, 1200, ... seconds.
    """

    def __init__(self, seconds: float) -> None:
        """Take how long a part may stay at one thing."""
        self.seconds = seconds
        self.stalls: tuple[Stall, ...] = ()
        """What does not move right now."""
        self._said: dict[str, _Said] = {}

    @property
    def message(self) -> str:
        """What does not move right now, for the status of the run; empty while all does."""
        return "; ".join(map(str, self.stalls))

    def check(self, work: Mapping[str, Work], moved: float, now: float) -> tuple[str, ...]:
        """Return what is to be said now: a line for each kind of part that hangs, and for each that moves again.

        Args:
            work: What every part is at.
            moved: When anything last moved.
            now: On the same clock.
        """
        stuck: dict[str, list[tuple[float, str]]] = {}
        for part, entry in work.items():
            since = max(entry.since, moved) if part == RUN else entry.since
            if now - since >= self.seconds:
                stuck.setdefault(part.partition(" ")[0], []).append((since, part))
        if len(stuck) > 1:
            # It stands because something else does.
            stuck.pop(RUN, None)
        oldest = {kind: min(found) for kind, found in stuck.items()}
        self.stalls = tuple(
            Stall(part=part, on=work[part].on, seconds=now - since, others=len(stuck[kind]) - 1)
            for kind, (since, part) in oldest.items()
        )
        lines: list[str] = []
        for kind in [kind for kind in self._said if kind not in oldest]:
            said = self._said.pop(kind)
            lines.append(f"{said.part} moves again, after {now - said.since:.0f} s")
        for stall in self.stalls:
            since, part = oldest[stall.kind]
            said = self._said.get(stall.kind)
            if said is None or (said.part, said.since) != (part, since):
                said = self._said[stall.kind] = _Said(part, since, now)
            if now >= said.due:
                said.due = since + 2 * max(now - since, self.seconds)
                lines.append(str(stall))
        return tuple(lines)
