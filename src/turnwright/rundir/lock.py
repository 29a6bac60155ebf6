"""One writer per run directory.

The lock is the kernel's (flock), not the file's existence: it ends with the process that holds it, so a crash
leaves nothing to clean up. The pid inside is only there to be read.
"""

import fcntl
import os
from pathlib import Path
from typing import Self

from turnwright.core.errors import RunDirectoryError


class WriterLock:
    """An exclusive lock on a run directory."""

    def __init__(self, path: Path) -> None:
        """Take the lock; raises RunDirectoryError when another writer holds it."""
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._handle, 32, 0).decode().strip() or "unknown"
            os.close(self._handle)
            raise RunDirectoryError(
                f"run directory '{path.parent}' is being written by process {holder}: wait until it ends, or stop it"
            ) from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next writer in."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        """Return the lock itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the lock."""
        self.release()


def is_locked(path: Path) -> bool:
    """Say whether a writer is alive right now."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # A shared lock, so that two processes that only ask never see each other as writers.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
