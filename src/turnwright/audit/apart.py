"""Apart: runs an audit in a child process with a network of its own, in which there is nothing but loopback.

    run_apart(audit)      # fork -> unshare -> audit() -> pickle of what it returns or raises

What Python code does is refused by the guard; here programs that an environment starts find no network either.
"""

import ctypes
import fcntl
import os
import pickle
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from turnwright.core.errors import TurnwrightError

CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
Result = TypeVar("Result")

_left: list[bool] = []


def run_apart(function: Callable[[], Result]) -> Result:
    """Return what a function returns, or raise what it raises, in a child process without a network.

    Where the system has no such thing, it runs there with the network as it is. What it returns must be picklable.
    """
    if not sys.platform.startswith("linux"):
        return function()
    sys.stdout.flush()
    sys.stderr.flush()
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        leave_network()
        _answer(function, sending)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        raise TurnwrightError(f"the audit's process ended early, with {os.waitstatus_to_exitcode(status)}")
    worked, result = pickle.loads(answer)
    if not worked:
        raise result
    return result


def leave_network() -> bool:
    """Give this process, and those it starts from now on, a network of loopback alone; False where it cannot be.

    There is no way back. A process that is not root needs to have one thread only.
    """
    if not sys.platform.startswith("linux"):
        return False
    user, group = os.getuid(), os.getgid()
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if ctypes.CDLL(None).unshare(flags):
        return False
    _left.append(True)
    # Some systems give the namespace without the right to furnish it.
    with suppress(OSError):
        if flags & CLONE_NEWUSER:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        _raise_loopback()
    return True


def has_left_network() -> bool:
    """Return whether this process has a network of its own."""
    return bool(_left)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def _answer(function: Callable[[], Any], sending: int) -> None:
    """Write the outcome to the pipe and end this process, without what the parent registered for its own end."""
    try:
        answer = pickle.dumps((True, function()))
    except BaseException as error:  # the parent raises it
        try:
            answer = pickle.dumps((False, error))
            pickle.loads(answer)
        except Exception:  # an error may hold what cannot be handed over
            answer = pickle.dumps((False, TurnwrightError(f"{type(error).__name__}: {error}")))
    with os.fdopen(sending, "wb") as pipe:
        pipe.write(answer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
