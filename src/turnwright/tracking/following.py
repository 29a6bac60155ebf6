"""Following: a view brought up to date with a run directory, from the place it has reached.

    metrics.jsonl behind the position --a step at a time--> view: its metrics, its episodes --> position moves on

The position lies in the run directory, so that a view which could not be written for a while - its server was away, the
process died - gets what it missed in order and once, at any time later. It names the view: another server, or one that
has lost its data, is shown the run from the beginning.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Protocol

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from turnwright.core.episode import Episode
from turnwright.rundir import records
from turnwright.rundir.files import write_atomic
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.reader import RunReader
from turnwright.tracking.spans import Folder


class View(Protocol):
    """What shows a run; one thread alone calls it."""

    @property
    def name(self) -> str:
        """Names the view among all: where it is, and what there shows the run."""
        ...

    def metrics(self, step: int, values: dict[str, float], *, when: float) -> None:
        """Take the metrics of one step; ``when`` is seconds since the epoch. The same ones again change nothing."""
        ...

    def episode(self, episode: Episode, *, folder: Folder, step: int, ended: float) -> None:
        """Take one ended episode; ``ended`` is seconds since the epoch. The same one again changes nothing."""
        ...

    def close(self, *, completed: bool) -> None:
        """Finish; ``completed`` tells a run that reached its last step from one that was cut short."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a view shows a run."""

    view: str = ""
    """Its name."""
    offset: int = 0
    """Bytes of metrics.jsonl that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """The metrics of a step that a view does not show yet."""

    step: int
    time: float
    end: int
    """Offset behind its line."""
    values: dict[str, float] = field(default_factory=dict[str, float])


_POSITION = TypeAdapter(Position)


class Follower:
    """Shows a run directory in a view; what goes wrong there is raised, and the next call goes on from there."""

    def __init__(self, layout: RunLayout, open_view: Callable[[], View], *, traces_per_step: int) -> None:
        """Open nothing yet.

        Args:
            layout: Of the run.
            open_view: Opens the view; called again after it failed.
            traces_per_step: Training episodes shown per step; validation episodes are all shown.
        """
        self.step = -1
        """Newest step that is shown; -1 = none that is known of."""
        self._layout = layout
        self._open_view = open_view
        self._traces_per_step = traces_per_step
        self._view: View | None = None

    def catch_up(self, tell: Callable[[int], None] = lambda step: None) -> None:
        """Show every step that is on disk and not shown yet; ``tell`` hears of each before it is."""
        view = self._view = self._view or self._open_view()
        position = read_position(self._layout)
        offset = position.offset if position.view == view.name else 0
        reader = RunReader(self._layout.root)
        for missed in missed_since(self._layout, offset):
            tell(missed.step)
            show_step(view, reader, missed.step, missed.values, missed.time, traces_per_step=self._traces_per_step)
            write_position(self._layout, Position(view=view.name, offset=missed.end))
            self.step = missed.step

    def num_missed(self) -> int:
        """Return how many steps are on disk and not shown."""
        return num_missed(self._layout)

    def close(self, *, completed: bool) -> None:
        """Finish the view, where one is open."""
        if self._view is not None:
            self._view.close(completed=completed)


def show_step(
    view: View, reader: RunReader, step: int, values: dict[str, float], when: float, *, traces_per_step: int
) -> None:
    """Show one step: its metrics, the first of its training episodes, and its validation."""
    view.metrics(step, values, when=when)
    if traces_per_step:
        for episode in first_episodes(list(reader.episodes(step)), traces_per_step):
            view.episode(episode, folder="trajectories", step=step, ended=when)
    for episode in reader.validation(step):
        view.episode(episode, folder="validation", step=step, ended=when)


def first_episodes(episodes: list[Episode], count: int) -> list[Episode]:
    """Return the first training episodes by task and attempt: a group is seen side by side, and always the same."""
    return sorted(episodes, key=lambda episode: (episode.key.task_id, episode.key.attempt))[:count]


def missed_since(layout: RunLayout, offset: int) -> list[Missed]:
    """Return the steps behind an offset of metrics.jsonl, in order; those that a resumed run took back are left out."""
    found: list[Missed] = []
    for line, end in _lines(layout, offset):
        values = records.decode_metrics(line)
        after = values.get("resumed_after_step")
        if after is not None:
            found = [missed for missed in found if missed.step <= after]
            continue
        step, when = int(values.pop("step")), values.pop("time")
        found.append(Missed(step=step, time=when, end=end, values=values))
    return found


def num_missed(layout: RunLayout) -> int:
    """Return how many steps the view that last showed a run does not show."""
    return len(missed_since(layout, read_position(layout).offset))


def read_position(layout: RunLayout) -> Position:
    """Return how far a run is shown; nowhere, when that is not known."""
    try:
        return _POSITION.validate_json(layout.tracking.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Position()


def write_position(layout: RunLayout, position: Position) -> None:
    """Remember how far a run is shown."""
    write_atomic(layout.tracking, pydantic_core.to_json(asdict(position)) + b"\n")


def _lines(layout: RunLayout, offset: int) -> Iterator[tuple[bytes, int]]:
    """Yield the whole lines behind an offset, each with the offset behind it."""
    try:
        file = layout.metrics.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            offset += len(line)
            if line.endswith(b"\n"):
                yield line, offset
