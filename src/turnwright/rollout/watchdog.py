"""The watchdog's thread: looks at the progress board while a run runs, and says what hangs.

    board, beat of the event loop --every few seconds--> Watchdog --> log, status, and once per stall all stacks

A thread and not a task: what hangs may be the event loop itself, and then nobody in it could say so. It is also the
run's heartbeat: as long as it writes the status, the process lives.
"""

import asyncio
import faulthandler
import logging
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from turnwright.core.errors import RunDirectoryError
from turnwright.core.progress import DISK, LOOP, ProgressBoard, Watchdog, Work
from turnwright.rundir import files

log = logging.getLogger(__name__)

LONGEST_INTERVAL = 5.0
"""Seconds between two looks."""
RUN_DIRECTORY = Path(files.__file__).parent
"""Where the code lies that writes a run directory."""


@contextmanager
def watched(
    board: ProgressBoard, *, seconds: float, stacks: Path, on_look: Callable[[str], None] = lambda message: None
) -> Generator[None]:
    """Watch a run, and the event loop that this is called from, until the block ends.

    Args:
        board: What the parts of the run say.
        seconds: How long one may stay at the same thing.
        stacks: File that gets the stacks of all threads when a part begins to hang.
        on_look: Called every few seconds, in the watchdog's thread, with what hangs, in words; empty when all moves.
            A disk that does not take what it writes is left to whoever else writes.
    """
    thread = _Thread(board, Watchdog(seconds), stacks, on_look)
    thread.start()
    try:
        yield
    finally:
        thread.stop()


class _Thread(threading.Thread):
    def __init__(self, board: ProgressBoard, watchdog: Watchdog, stacks: Path, on_look: Callable[[str], None]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._board, self._watchdog, self._stacks, self._on_look = board, watchdog, stacks, on_look
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._asked: float | None = None
        """When the event loop was asked for a beat that it has not given."""
        self._ended = threading.Event()

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(min(LONGEST_INTERVAL, self._watchdog.seconds / 4)):
            self._ask()
            work = dict(self._board.look())
            if self._asked is not None:
                part, place = self._place()
                work[part] = Work(on=f"the event loop is held up in {place}", since=self._asked)
            hung = bool(self._watchdog.stalls)
            for line in self._watchdog.check(work, self._board.moved, self._board.clock()):
                log.warning("watchdog: %s", line)
            try:
                if self._watchdog.stalls and not hung:
                    self._dump()
                self._on_look(self._watchdog.message)
            except (OSError, RunDirectoryError) as error:
                log.warning("watchdog: cannot write what it sees: %s", error)

    def _ask(self) -> None:
        if self._asked is None and not self._loop.is_closed():
            self._asked = self._board.clock()
            self._loop.call_soon_threadsafe(self._beat)

    def _beat(self) -> None:
        self._asked = None

    def _place(self) -> tuple[str, str]:
        """Return which part the thread of the event loop is in, and where: the innermost calls, and who called them."""
        frame = sys._current_frames().get(self._loop_thread)
        places: list[str] = []
        part = LOOP
        while frame is not None:
            places.append(_describe(frame))
            if Path(frame.f_code.co_filename).parent == RUN_DIRECTORY:
                part = DISK
            frame = frame.f_back
        return part, " <- ".join(places[:3]) or "nothing"

    def _dump(self) -> None:
        with self._stacks.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self._watchdog.message}\n")
            file.flush()
            faulthandler.dump_traceback(file, all_threads=True)
            file.write("\n")


def _describe(frame: FrameType) -> str:
    return f"{frame.f_code.co_qualname} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
