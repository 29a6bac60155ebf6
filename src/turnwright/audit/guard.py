"""Guard: while an environment is audited it reaches no network; programs it starts and files it writes are noted.

    with guard(own, boundaries, allow_network=False) as guarding:
        ...                    # a connection raises NetworkRefusedError inside the environment
    guarding.uses

An audit hook of the interpreter sees sockets, programs and files of Python code. It does not see what C code does by
itself (a database driver that connects) or what child processes do.
"""

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from turnwright.audit.frames import OwnCode, Use

NETWORK_EVENTS = frozenset(
    {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto"}
)
PROCESS_EVENTS = frozenset({"subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.spawn", "os.posix_spawn"})
PASSING = ("/dev/", "/proc/", ":memory:", "file:")
"""Beginnings of names that are no files to leave behind."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class NetworkRefusedError(ConnectionError):
    """What an environment meets that connects or resolves a name while it is audited."""


class Guard:
    """Refuses and collects while installed."""

    def __init__(self, own: OwnCode, boundaries: Collection[CodeType], *, allow_network: bool) -> None:
        """Guard against the code of ``own``, called from ``boundaries``."""
        self.uses: dict[tuple[str, str], Use] = {}
        """By kind and place."""
        self.programs = 0
        """Programs that were started, also by the product for the environment."""
        self._own = own
        self._boundaries = boundaries
        self._allow_network = allow_network
        self._thread = threading.get_ident()
        # The first call looks for a folder by writing into it.
        tempfile.gettempdir()
        self._others = {thread.ident for thread in threading.enumerate()} - {self._thread}

    def take(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event of the interpreter."""
        if threading.get_ident() in self._others:
            return
        if event in NETWORK_EVENTS and not _stays_here(event, arguments):
            target = _target(event, arguments)
            self._note("network", f"{event} {target!r}", through_product=True)
            if not self._allow_network:
                raise NetworkRefusedError(
                    f"turnwright check lets no environment reach the network: {event} {target!r}; record what the "
                    "service answers, or pass --allow-network"
                )
        elif event in PROCESS_EVENTS:
            self.programs += 1
            self._note("process", f"{event} {str(arguments[:2])[:200]}", through_product=False)
        elif (path := written_path(event, arguments)) and not path.is_relative_to(tempfile.gettempdir()):
            self._note("write", f"the file {path}", through_product=False)

    def _note(self, kind: str, what: str, *, through_product: bool) -> None:
        where = self._own.line(sys._getframe(3), self._boundaries, through_product=through_product)
        if not where and kind == "network":
            where = f"thread {threading.current_thread().name!r}"
        if where:
            self.uses.setdefault((kind, where), Use(kind, what, where))


_current: list[Guard] = []
_hooked: list[bool] = []


@contextmanager
def guard(own: OwnCode, boundaries: Collection[CodeType], *, allow_network: bool) -> Iterator[Guard]:
    """Guard while the body runs."""
    if not _hooked:
        # A hook cannot be taken away again, so there is one, which does nothing while nobody guards.
        sys.addaudithook(_pass_on)
        _hooked.append(True)
    guarding = Guard(own, boundaries, allow_network=allow_network)
    _current.append(guarding)
    try:
        yield guarding
    finally:
        _current.remove(guarding)


def started_programs() -> int:
    """Return how many programs were started under the guards of this process."""
    return sum(guarding.programs for guarding in _current)


def written_path(event: str, arguments: tuple[Any, ...]) -> Path | None:
    """Return the path that an audit event creates or opens for writing; None for any other event."""
    path = _written(event, arguments)
    if not isinstance(path, str | os.PathLike):
        return None
    name = os.fspath(path)
    if not isinstance(name, str) or name.startswith(PASSING) or "__pycache__" in name:
        return None
    return Path(name).absolute()


def _pass_on(event: str, arguments: tuple[Any, ...]) -> None:
    for guarding in _current:
        guarding.take(event, arguments)


def _written(event: str, arguments: tuple[Any, ...]) -> Any:
    if event == "open":
        path, mode, flags = arguments
        writes = set(mode) & set("wax+") if isinstance(mode, str) else flags & WRITING
        # A folder is named where a file without a name (O_TMPFILE) is made in it.
        return path if writes and not os.path.isdir(path) else None  # noqa: PTH112 - may be any bytes
    if event == "sqlite3.connect":
        # A database that was there before may well be read only.
        return None if os.path.exists(arguments[0]) else arguments[0]  # noqa: PTH110 - may be any bytes
    if event == "os.mkdir":
        return arguments[0]
    if event in ("os.rename", "os.link", "os.symlink"):
        return arguments[1]
    return None


def _stays_here(event: str, arguments: tuple[Any, ...]) -> bool:
    if event not in ("socket.connect", "socket.sendto"):
        return False
    return arguments[0].family in (getattr(socket, "AF_UNIX", None), getattr(socket, "AF_NETLINK", None))


def _target(event: str, arguments: tuple[Any, ...]) -> str:
    """Return what is reached: address or host, with the port where there is one."""
    if event in ("socket.connect", "socket.sendto"):
        return str(arguments[1])
    return ":".join(str(part) for part in arguments[:2] if part)
