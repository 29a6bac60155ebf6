"""Watch: which clock and randomness the code of an environment uses, and from which line.

    with watch(own_code(type(environment)), run_episode.__code__) as watching:
        ...                  # what is called below run_episode is seen
    watching.uses            # each kind, what and line once

A profile function sees calls of C functions however their names were imported. It does not see what C code does by
itself (``hash`` of a string, a draw in a library) or what child processes do.
"""

import datetime
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from turnwright.audit.frames import OwnCode, Use

CLOCK_FUNCTIONS = frozenset({time.time, time.time_ns})
"""Durations (monotonic, perf_counter) are left out: every limit on time needs them, and a replay shows it when one
reaches a message.
"""
CLOCK_METHODS = frozenset({"now", "utcnow", "today"})
GLOBAL_GENERATOR: Any = getattr(random.random, "__self__")  # noqa: B009 - type checkers do not know it
SEEDING = random.Random.seed.__code__

PASSED_THROUGH = frozenset({"random.py", "secrets.py", "uuid.py"})
"""Modules of the standard library that stand for whoever calls them; what others do in passing, such as names of
temporary files, is their own business.
"""


class Watch:
    """Collects uses while installed."""

    def __init__(self, own: OwnCode, boundary: CodeType) -> None:
        """Watch the code of ``own``, called from ``boundary``."""
        self.uses: dict[Use, None] = {}
        self._own = own
        self._boundary = boundary
        self._thread = threading.get_ident()

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take a profile event."""
        if event == "c_call":
            found = _use_of(argument)
            if found:
                self._note(*found, frame)
        elif event == "call" and frame.f_code is SEEDING and frame.f_locals.get("a") is None:
            self._note("random", "a random.Random() without a seed", frame)

    def _note(self, kind: str, what: str, frame: FrameType) -> None:
        caller: FrameType | None = frame
        own: FrameType | None = None
        while caller is not None and caller.f_code is not self._boundary:
            if own is None:
                if self._own.has(caller.f_code.co_filename):
                    own = caller
                elif Path(caller.f_code.co_filename).name not in PASSED_THROUGH:
                    return
            caller = caller.f_back
        inside = caller is not None or threading.get_ident() != self._thread
        if own is not None and inside:
            self.uses[Use(kind, what, f"{own.f_code.co_filename}:{own.f_lineno}")] = None


@contextmanager
def watch(own: OwnCode, boundary: CodeType) -> Iterator[Watch]:
    """Watch what is called from the function ``boundary`` while the body runs."""
    watching = Watch(own, boundary)
    before = sys.getprofile()
    threading.setprofile(watching.profile)
    sys.setprofile(watching.profile)
    try:
        yield watching
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]


def _use_of(function: Any) -> tuple[str, str] | None:
    name, holder = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if function in CLOCK_FUNCTIONS:
        return "clock", f"time.{name}()"
    if name in CLOCK_METHODS and isinstance(holder, type) and issubclass(holder, datetime.date):
        return "clock", f"{holder.__name__}.{name}()"
    if name == "urandom":
        return "random", "os.urandom()"
    if holder is GLOBAL_GENERATOR:
        return "random", "the global generator of module random"
    if type(holder).__name__ == "RandomState":
        return "random", "the global generator of numpy"
    return None
