"""LiveRun: what a run does right now, from its directory alone; the run does not know that somebody looks.

Nothing is written, and a file is read again only when it has changed, so that looking once a second costs little, also
on a file system that several machines share.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from pydantic_core import from_json

from turnwright.config import RunConfig
from turnwright.config.steps import count_steps
from turnwright.core.errors import RunDirectoryError
from turnwright.rundir.files import read_lines
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.reader import RunReader
from turnwright.rundir.records import ENDED, Status
from turnwright.tracking.picture import PATIENCE, Picture, State
from turnwright.tracking.recent import Metrics, Recent, summarise_steps

READS = 3
"""Times that a read is tried: on a shared file system, a file that is replaced meanwhile can be lost to its reader."""

Value = TypeVar("Value")


class LiveRun:
    """A run directory that is looked at again and again.

    Example::

        for picture in LiveRun(Path("runs/demo")).follow():
            print(picture.state, picture.step, picture.recent.reward)
    """

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Raises RunDirectoryError when ``root`` is not a run directory; ``clock`` tells seconds since the epoch."""
        self._reader = RunReader(root)
        self._layout, self._clock = self._reader.layout, clock
        self._host = self._reader.manifest().host
        layout = self._layout
        self._metrics = _Fresh(layout.metrics, lambda: tuple(self._reader.metrics()), missing=())
        self._findings = _Fresh(layout.findings, self._reader.findings, missing=())
        self._config = _Fresh[RunConfig | None](
            layout.config_resolved, lambda: self._reader.config().config, missing=None
        )
        self._num_tasks = _Fresh(layout.tasks, lambda: _count_train_tasks(layout.tasks), missing=0)
        self._lines = LineCounter(layout.groups)

    def follow(self, *, interval: float = 1.0, sleep: Callable[[float], None] = time.sleep) -> Iterator[Picture]:
        """Yield a picture every ``interval`` seconds, and a last one when the run is over."""
        while not (picture := self.look()).is_over:
            yield picture
            sleep(interval)
        yield picture

    def look(self) -> Picture:
        """Return what the run does now.

        Raises RunDirectoryError when the run is gone, or a file is damaged or cannot be read.
        """
        problem = ""
        for _ in range(READS):
            try:
                return self._look()
            except OSError as error:
                problem = str(error)
        raise RunDirectoryError(
            f"run '{self._layout.root}' cannot be read: {problem}; expected a folder that this user may read"
        )

    def _look(self) -> Picture:
        if not self._layout.manifest.is_file():
            raise RunDirectoryError(f"run '{self._layout.root}' is gone: it was moved or deleted while it was watched")
        # The lock first: a process that ends in between has written by then how it ended.
        is_locked = self._is_locked()
        status, config, metrics = self._reader.status(), self._config(), self._metrics()
        now, recent = self._clock(), summarise_steps(metrics)
        silent = max(0.0, now - self._last_sign(status))
        state = self._state(status, silent, config, is_locked=is_locked)
        step = status.step if status else recent.step
        known = step if state == "finished" else self._total(config)
        num_steps = known or (config.schedule.max_steps if config else None)
        open_groups, lines = self._lines.count()
        return Picture(
            name=self._layout.root.resolve().name,
            path=self._layout.root,
            state=state,
            message=status.message if status else "",
            launch=status.launch if status else 1,
            step=step,
            num_steps=num_steps,
            is_last_step_known=known is not None,
            seconds_left=None if state in ENDED else _seconds_left(recent, num_steps, metrics, now),
            recent=recent,
            metrics=metrics,
            staleness_bound=config.async_config.max_steps_off_policy if config else None,
            failed_limit=config.rollout.max_failed_fraction if config else None,
            watchdog_seconds=config.run.watchdog_seconds if config else None,
            open_groups=open_groups,
            # The first line of a group is the group itself.
            ended_attempts=max(0, lines - open_groups),
            wanted_attempts=open_groups * config.algorithm.group_size if config else None,
            findings=self._findings(),
            silent_seconds=silent,
        )

    def _total(self, config: RunConfig | None) -> int | None:
        """Return how many steps the run makes; None where passes over its tasks end it and cannot be counted."""
        if config is None:
            return None
        if config.schedule.max_epochs is None:
            return config.schedule.max_steps
        num_tasks = self._num_tasks()
        # Of a mixture, the shares of its domains decide.
        return count_steps(config, num_tasks).total if num_tasks and not config.environment.mixture else None

    def _state(self, status: Status | None, silent: float, config: RunConfig | None, *, is_locked: bool) -> State:
        phase: State = status.phase if status else "starting"
        if phase in ENDED or is_locked:
            return phase
        # A lock that another machine holds is not seen on every shared file system: there, only silence tells.
        elsewhere = self._host != platform.node()
        patience = config.run.watchdog_seconds if config else PATIENCE
        return phase if elsewhere and silent < patience else "interrupted"

    def _is_locked(self) -> bool:
        try:
            return self._reader.is_running()
        except OSError:
            # A file system without locks.
            return False

    def _last_sign(self, status: Status | None) -> float:
        layout = self._layout
        appended = (layout.metrics, layout.batches, *_newest(layout))
        return max([status.heartbeat if status else 0.0, *map(_modified, appended), _modified(layout.manifest)])


class LineCounter:
    """Counts the lines of all files of a folder, reading only what is new."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet; the folder may be missing."""
        self._folder = folder
        self._counted: dict[str, tuple[int, int]] = {}

    def count(self) -> tuple[int, int]:
        """Return the number of files and of whole lines in them."""
        counted: dict[str, tuple[int, int]] = {}
        for path in sorted(self._folder.glob("[0-9]*")):
            size, lines = self._counted.get(path.name, (0, 0))
            try:
                with path.open("rb") as file:
                    if os.fstat(file.fileno()).st_size < size:
                        size, lines = 0, 0
                    file.seek(size)
                    new = file.read()
            except FileNotFoundError:
                continue
            counted[path.name] = size + len(new), lines + new.count(b"\n")
        self._counted = counted
        return len(counted), sum(lines for _, lines in counted.values())


class _Fresh(Generic[Value]):
    """What a file says, read again only when the file has changed."""

    def __init__(self, path: Path, read: Callable[[], Value], *, missing: Value) -> None:
        self._path, self._read = path, read
        self._missing = self._value = missing
        self._stamp: tuple[int, int, int] | None = None

    def __call__(self) -> Value:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._value, self._stamp = self._missing, None
            return self._value
        stamp = found.st_ino, found.st_size, found.st_mtime_ns
        if stamp != self._stamp:
            self._value, self._stamp = self._read(), stamp
        return self._value


def _count_train_tasks(path: Path) -> int:
    return sum(from_json(line)["split"] == "train" for line in read_lines(path))


def _newest(layout: RunLayout) -> Iterator[Path]:
    """Yield the folders that a run writes into, and of each the file that sorts last, or all open groups and logs."""
    for folder in (layout.root / "episodes", layout.validation(0).parent, layout.records, layout.checkpoints):
        yield folder
        yield from sorted(folder.glob("*"))[-1:]
    for folder in (layout.groups, layout.logs / "latest"):
        yield from folder.glob("*")


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _seconds_left(recent: Recent, num_steps: int | None, metrics: tuple[Metrics, ...], now: float) -> float | None:
    if num_steps is None or recent.seconds_per_step is None:
        return None
    # What the next step has taken so far counts, up to what a step takes.
    begun = min(max(0.0, now - metrics[-1]["time"]), recent.seconds_per_step)
    return max(0.0, recent.seconds_per_step * (num_steps - recent.step) - begun)
