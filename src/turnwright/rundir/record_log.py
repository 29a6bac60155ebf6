"""Record log: the gateway's write-ahead log, the truth about every trajectory.

    append --encode--> batch that gathers --one thread: write, fsync--> segment --> every waiter of the batch returns

While one batch is on its way to the disk the next one gathers, so a thousand trajectories share one fsync and none
waits for more than two. Segments are ``records/000001.jsonl`` and so on; a crash can tear only the last line of the
last one, and a torn line is one whose ``append`` never returned. ``recover`` reads them back.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from turnwright.core.errors import RunDirectoryError
from turnwright.rundir.files import LineLog, sync
from turnwright.rundir.gateway_records import GatewayRecord, Opened, decode, encode
from turnwright.rundir.recovery import RecoveredTrajectory, rebuild


class RecordSink(Protocol):
    """Where a gateway puts its records."""

    async def append(self, record: GatewayRecord) -> None:
        """Return when the record survives a crash; raises RunDirectoryError when it cannot."""
        ...

    async def close(self) -> None:
        """Keep what was appended and free everything."""
        ...


class NoLog:
    """Keeps nothing: for a served checkpoint, which trains nobody, and to measure what the log costs."""

    async def append(self, record: GatewayRecord) -> None:
        """Forget the record."""

    async def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Lines that reach the disk together."""

    on_disk: asyncio.Future[str]
    """Why they did not; empty when they did."""
    lines: list[bytes] = field(default_factory=list[bytes])


class RecordLog:
    """The log of one run, for one event loop; the run's writer lock keeps other processes out.

    Example::

        log = RecordLog(layout.records)
        await log.append(Opened(trajectory_id="t-5f2c", ...))
        await log.close()
    """

    def __init__(self, folder: Path, *, segment_bytes: int = 64 * 2**20) -> None:
        """Go on where the last process stopped, its torn line cut off; makes the folder when it is missing.

        Args:
            folder: Where the segments lie.
            segment_bytes: A segment that has grown to this size is followed by a new one.
        """
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._number = max(1, len(_segments(folder)))
        self._segment = self._open_segment()
        self._size = self._segment.path.stat().st_size
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="record-log")
        self._gathering: _Batch | None = None
        self._writing: _Batch | None = None
        self._failure = ""
        self._closed = False

    async def append(self, record: GatewayRecord) -> None:
        """Return when the record is on disk. Records lie there in the order in which they were appended.

        A caller that is cancelled while it waits neither takes its record back nor disturbs others.

        Raises:
            RunDirectoryError: The disk failed, now or earlier, or the log is closed.
            DatasetError: The record holds something that JSON cannot say; the log goes on.
        """
        if self._failure:
            raise RunDirectoryError(self._failure)
        if self._closed:
            raise RunDirectoryError(
                f"record log '{self._folder}' is closed: the {record.kind} record of trajectory "
                f"{record.trajectory_id!r} came too late; close the log after the last session has ended"
            )
        line = encode(record)
        if self._gathering is None:
            self._gathering = _Batch(asyncio.get_running_loop().create_future())
        batch = self._gathering
        batch.lines.append(line)
        if self._writing is None:
            self._write_gathered()
        # Shielded: the future belongs to the whole batch, and one waiter that gives up would cancel it for all.
        if failure := await asyncio.shield(batch.on_disk):
            raise RunDirectoryError(failure)

    async def close(self) -> None:
        """Wait until everything appended is on disk and refuse what comes later; closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        while self._writing is not None:
            await asyncio.wait([self._writing.on_disk])
        # What a failing disk did not take has been told to those who appended it.
        with suppress(OSError, RunDirectoryError) if self._failure else nullcontext():
            await asyncio.get_running_loop().run_in_executor(self._thread, self._segment.close)
        self._thread.shutdown()

    def _write_gathered(self) -> None:
        """Send the gathered batch, if there is one, to the thread."""
        self._writing, self._gathering = self._gathering, None
        if self._writing is not None:
            written = asyncio.get_running_loop().run_in_executor(self._thread, self._write, self._writing.lines)
            written.add_done_callback(self._on_written)

    def _on_written(self, written: asyncio.Future[None]) -> None:
        """Tell the batch's waiters, and let the next batch follow; after a failure nothing is written any more."""
        done = [self._writing]
        if error := written.exception():
            full = isinstance(error, RunDirectoryError)
            cure = "; free or repair the disk and resume the run"
            told = str(error) if full else f"record log '{self._segment.path}' cannot be written: {error}{cure}"
            self._failure = f"{told}; no later record is taken, because its place in the order is lost"
            done.append(self._gathering)
            self._writing = self._gathering = None
        else:
            self._write_gathered()
        for batch in done:
            if batch is not None:
                batch.on_disk.set_result(self._failure)

    def _write(self, lines: list[bytes]) -> None:
        """In the thread: put a batch on disk, in a new segment if the last one is full."""
        if self._size >= self._segment_bytes:
            self._segment.close()
            self._number += 1
            self._segment = self._open_segment()
            self._size = 0
        batch = b"\n".join(lines)
        self._segment.append(batch)
        self._segment.sync()
        self._size += len(batch) + 1

    def _open_segment(self) -> LineLog:
        segment = LineLog(self._folder / _segment_name(self._number))
        # The file's name must be on disk before its first record counts as being there.
        sync(self._folder)
        return segment


def recover(folder: Path, *, since: float = 0.0) -> tuple[RecoveredTrajectory, ...]:
    """Return the trajectories of a log, in the order they were opened; nothing is written.

    Args:
        folder: Where the segments lie.
        since: Only those opened at this time or later, in seconds since the epoch; others take no memory.

    Raises:
        RunDirectoryError: A line other than a torn last one is no record, or a segment is missing.
        AlignmentError: The records contradict each other, such as ids that do not give the hash they were sampled
            under.
    """
    by_trajectory: dict[str, list[GatewayRecord]] = {}
    earlier: set[str] = set()
    for record in _read(folder):
        if isinstance(record, Opened) and record.time < since:
            earlier.add(record.trajectory_id)
        if record.trajectory_id not in earlier:
            by_trajectory.setdefault(record.trajectory_id, []).append(record)
    return tuple(rebuild(records) for records in by_trajectory.values())


def _segment_name(number: int) -> str:
    return f"{number:06d}.jsonl"


def _segments(folder: Path) -> list[Path]:
    """Return the segments in order; a missing one is an error, because what follows it makes no sense without it."""
    found = sorted(folder.glob("[0-9]*.jsonl"))
    for number, path in enumerate(found, start=1):
        if path.name != _segment_name(number):
            raise RunDirectoryError(
                f"record log '{folder}' must have every segment: expected '{_segment_name(number)}' and found "
                f"'{path.name}'; put the missing file back"
            )
    return found


def _read(folder: Path) -> Iterator[GatewayRecord]:
    found = _segments(folder)
    for path in found:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield _decode(line, path, number)
                elif path != found[-1]:
                    raise RunDirectoryError(
                        f"'{path}' line {number} is torn: only the last line of the last segment can be, because a "
                        "new segment begins after the old one is on disk; restore the file"
                    )


def _decode(line: bytes, path: Path, number: int) -> GatewayRecord:
    try:
        return decode(line)
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise RunDirectoryError(
            f"'{path}' line {number} is not a gateway record of this version: {reason}; restore the file"
        ) from error
