"""Watch: which network, clock and randomness the code of an environment uses, and from which line.

    with watch(type(environment), run_episode.__code__) as watching:
        ...                  # what is called below run_episode is seen
    watching.uses            # each kind, what and line once

A profile function sees calls of C functions however their names were imported; an audit hook sees sockets. Neither sees
what C code does by itself (a database driver that connects, ``hash`` of a string) or what child processes do.
"""

import datetime
import random
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal

from turnwright.environments.base import Environment

Kind = Literal["network", "clock", "random"]

CLOCK_FUNCTIONS = frozenset({time.time, time.time_ns})
"""Durations (monotonic, perf_counter) are left out: every limit on time needs them, and a replay shows it when one
reaches a message.
"""
CLOCK_METHODS = frozenset({"now", "utcnow", "today"})
GLOBAL_GENERATOR: Any = getattr(random.random, "__self__")  # noqa: B009 - type checkers do not know it
SEEDING = random.Random.seed.__code__
NETWORK_EVENTS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})

STDLIB = Path(sysconfig.get_path("stdlib"))
PRODUCT = Path(__file__).parents[1]
PASSED_THROUGH = frozenset({"random.py", "secrets.py", "uuid.py"})
"""Modules of the standard library that stand for whoever calls them; what others do in passing, such as names of
temporary files, is their own business.
"""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of something that is not the episode's own."""

    kind: Kind
    what: str
    where: str
    """File and line."""


class Watch:
    """Collects uses while installed."""

    def __init__(self, own_files: frozenset[str], boundary: CodeType) -> None:
        """Watch code called from ``boundary``; of the product only ``own_files`` count as the environment's."""
        self.uses: dict[Use, None] = {}
        self._own_files = own_files
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

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event of the interpreter."""
        if event in NETWORK_EVENTS and not _stays_here(event, arguments):
            self._note("network", f"{event} {_target(event, arguments)!r}", sys._getframe(1), through_libraries=True)

    def _note(self, kind: Kind, what: str, frame: FrameType, *, through_libraries: bool = False) -> None:
        caller: FrameType | None = frame
        own: FrameType | None = None
        while caller is not None and caller.f_code is not self._boundary:
            if own is None:
                if self._is_own(caller.f_code.co_filename):
                    own = caller
                elif not through_libraries and Path(caller.f_code.co_filename).name not in PASSED_THROUGH:
                    return
            caller = caller.f_back
        inside = caller is not None or threading.get_ident() != self._thread
        if own is not None and inside:
            self.uses[Use(kind, what, f"{own.f_code.co_filename}:{own.f_lineno}")] = None

    def _is_own(self, filename: str) -> bool:
        path = Path(filename)
        if filename in self._own_files:
            return True
        library = path.is_relative_to(STDLIB) or "site-packages" in path.parts or filename.startswith("<frozen")
        return not library and not path.is_relative_to(PRODUCT)


_current: list[Watch] = []
_hooked: list[bool] = []


@contextmanager
def watch(environment_class: type[Environment], boundary: CodeType) -> Iterator[Watch]:
    """Watch what is called from the function ``boundary`` while the body runs."""
    classes = [base for base in environment_class.__mro__ if issubclass(base, Environment) and base is not Environment]
    files = [sys.modules[base.__module__].__file__ for base in classes]
    watching = Watch(frozenset(file for file in files if file), boundary)
    if not _hooked:
        # A hook cannot be taken away again, so there is one, which does nothing while nobody watches.
        sys.addaudithook(_pass_on)
        _hooked.append(True)
    before = sys.getprofile()
    _current.append(watching)
    threading.setprofile(watching.profile)
    sys.setprofile(watching.profile)
    try:
        yield watching
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]
        _current.remove(watching)


def _pass_on(event: str, arguments: tuple[Any, ...]) -> None:
    for watching in _current:
        watching.audit(event, arguments)


def _use_of(function: Any) -> tuple[Kind, str] | None:
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


def _stays_here(event: str, arguments: tuple[Any, ...]) -> bool:
    return event in ("socket.connect", "socket.sendto") and arguments[0].family == socket.AF_UNIX


def _target(event: str, arguments: tuple[Any, ...]) -> str:
    return str(arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0])
