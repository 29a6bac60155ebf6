"""Patience: how long the code of an environment may keep the audit waiting, and how often.

A coroutine that waits is ended by a time-out of its own. A plain function holds the only thread, so a timer interrupts
it; outside of the main thread, and on systems without one, it is waited for.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

from turnwright.core.errors import TurnwrightError

LIMIT_SECONDS = 20.0
"""Time that open, one tool call or reward may take without giving the event loop a turn."""
MOST_INTERRUPTIONS = 2


class TookTooLongError(TimeoutError):
    """Raised inside a function of the environment that was interrupted."""


class EnvironmentHangsError(TurnwrightError):
    """The environment was interrupted so often that there is no point in going on."""


class Patience:
    """Interrupts what takes too long while installed."""

    def __init__(self, boundary: CodeType) -> None:
        """Interrupt what is called from ``boundary``."""
        self.interruptions: list[str] = []
        """Places of the lines that were running."""
        self._boundary = boundary
        self._since = time.monotonic()

    def renew(self) -> None:
        """Count from now on; raises EnvironmentHangsError when patience is at an end."""
        if len(self.interruptions) >= MOST_INTERRUPTIONS:
            raise EnvironmentHangsError(
                f"it did not answer within {LIMIT_SECONDS:g} s, {len(self.interruptions)} times, "
                f"at {self.interruptions[0]}"
            )
        self._since = time.monotonic()

    def interrupt(self, signal_number: int, frame: FrameType | None) -> None:
        """Raise in the running function once it has taken too long, if it is the environment's."""
        if time.monotonic() - self._since < LIMIT_SECONDS or frame is None:
            return
        place, caller = f"{frame.f_code.co_filename}:{frame.f_lineno}", frame.f_back
        while caller is not None and caller.f_code is not self._boundary:
            caller = caller.f_back
        if caller is not None:
            self.interruptions.append(place)
            self._since = time.monotonic()
            raise TookTooLongError(f"it did not answer within {LIMIT_SECONDS:g} s and was interrupted at {place}")


_current: list[Patience] = []


def renew_patience() -> None:
    """Begin to wait anew, where somebody is patient at all."""
    for patience in _current:
        patience.renew()


@contextmanager
def patience(boundary: CodeType) -> Iterator[Patience]:
    """Wait patiently while the body runs."""
    waiting = Patience(boundary)
    usable = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    # A timer that belongs to somebody else, such as a test runner, stays as it is.
    usable = usable and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    _current.append(waiting)
    if usable:
        signal.signal(signal.SIGALRM, waiting.interrupt)
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    try:
        yield waiting
    finally:
        if usable:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _current.remove(waiting)
