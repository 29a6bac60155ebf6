"""Pulse: the status of a run, written by the loop when it goes on and by the watchdog as a sign of life."""

import threading

from turnwright.core.progress import RUN
from turnwright.core.protocols import Progress
from turnwright.rundir.records import Phase
from turnwright.rundir.writer import RunWriter


class Pulse:
    """Writes what a run is doing, from two threads."""

    def __init__(self, writer: RunWriter, progress: Progress) -> None:
        """Take where the status is written, and who is told where the run stands."""
        self._writer = writer
        self._progress = progress
        self._lock = threading.Lock()
        self._phase: Phase = "starting"
        self._step = 0
        self._message = ""
        self._ended = False

    def say(self, phase: Phase, step: int, message: str = "") -> None:
        """Say what the run is at; ``message`` is why it ended, or what it waits for."""
        with self._lock:
            self._phase, self._step, self._message = phase, step, message
            self._progress.begin(RUN, f"{phase}, step {step}")
            self._writer.status(phase, step, message)

    def end(self, phase: Phase, step: int, message: str = "") -> None:
        """Say how the run ended; nothing is said after that."""
        self.say(phase, step, message)
        self._ended = True

    def beat(self, hung: str) -> None:
        """Say that the process lives, and what of it does not move; called by the watchdog's thread."""
        with self._lock:
            if not self._ended:
                self._writer.status(self._phase, self._step, "; ".join(filter(None, (self._message, hung))))
