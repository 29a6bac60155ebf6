"""Processes of an MCP server: all that were started for one connection, told by a variable they inherit.

A server may end properly and leave a child behind. Every descendant inherits ``MARK``, whose value names the process
that owns the connection; the system shows it in /proc, and where there is no /proc nothing is found.
"""

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "TURNWRIGHT_MCP_CONNECTION"


def new_mark() -> str:
    """Return a value of the variable for one connection of this process."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


def end_marked(mark: str) -> tuple[int, ...]:
    """Kill the processes of one connection, and return their ids."""
    return _kill(pid for pid, found in _marked() if found == mark)


def end_orphans() -> tuple[int, ...]:
    """Kill the processes of connections whose owner is gone, and return their ids."""
    return _kill(pid for pid, found in _marked() if not Path(f"/proc/{found.partition('-')[0]}").exists())


def _marked() -> Iterator[tuple[int, str]]:
    beginning = f"{MARK}=".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is somebody else's
            for variable in (folder / "environ").read_bytes().split(b"\0"):
                if variable.startswith(beginning):
                    yield int(folder.name), variable[len(beginning) :].decode("ascii", "replace")


def _kill(pids: Iterator[int]) -> tuple[int, ...]:
    killed: list[int] = []
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    return tuple(killed)
