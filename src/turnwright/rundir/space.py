"""Space: what a disk that takes no more means for a run, and whether the next checkpoint will fit.

A full disk ends a run, because a run that cannot record does nothing that counts. What was recorded before is whole: a
file is replaced at once or not at all, and an append that fails takes its torn line back.
"""

import errno
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from turnwright.core.errors import DiskError, RunDirectoryError

log = logging.getLogger(__name__)

CURES = {
    errno.ENOSPC: "free some space there (`turnwright runs prune` deletes old checkpoints)",
    errno.EDQUOT: "free some of the quota, or have it raised",
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`)",
    errno.EIO: "look at the disk (`dmesg`), and copy the run directory to another one",
    errno.EROFS: "mount it for writing",
}
"""What a disk answers that takes no more, and what helps."""
CLUES = ("No space left on device", "os error 28", "code: 28", "StorageFull")
"""What libraries make of a full disk that hand its number on in words alone."""
NEARLY_NOTHING = 64 * 2**10
"""Bytes; a library that fails without a word about the disk, on one with less than this, failed for want of it."""
CHECKPOINT_MARGIN = 1.1
"""How much larger than the last one the next checkpoint may be."""
MEBIBYTE = 2**20


@contextmanager
def recording(path: Path) -> Generator[None]:
    """Write below a run directory; a disk that takes no more becomes one error that says so.

    Args:
        path: The file or folder that is written.

    Raises:
        DiskError: The disk is full, the quota used up, or the disk broken. Other errors pass.
    """
    try:
        yield
    except RunDirectoryError:
        raise
    except Exception as error:  # the boundary to libraries, which say what they like of a full disk
        number = _number(error, path)
        if number is None:
            raise
        raise DiskError(
            f"'{path}' cannot be written: {os.strerror(number)}; {_free(path)}. What the run recorded before is whole. "
            f"{CURES[number][0].upper()}{CURES[number][1:]}, then continue with --resume"
        ) from error


def warn_when_short(checkpoints: Path) -> bool:
    """Warn when the disk has less room than the newest checkpoint took, and some; nothing is deleted.

    Args:
        checkpoints: Folder of all checkpoints; without one yet, nothing is known.
    """
    finished = sorted(path for path in checkpoints.glob("step_*") if path.is_dir())
    if not finished:
        return False
    size = sum(path.stat().st_size for path in finished[-1].rglob("*") if path.is_file())
    short = free_bytes(checkpoints) < size * CHECKPOINT_MARGIN
    if short:
        log.warning(
            "the next checkpoint may not fit: the last one ('%s') has %.1f MiB, and %s; `turnwright runs prune` "
            "deletes old ones, schedule.keep_last keeps fewer",
            finished[-1],
            size / MEBIBYTE,
            _free(checkpoints),
        )
    return short


def free_bytes(path: Path) -> int:
    """Return what this process may still write on the file system of ``path``."""
    found = os.statvfs(_existing(path))
    return found.f_bavail * found.f_frsize


def _number(error: Exception, path: Path) -> int | None:
    """Return what the disk said; None when it was not the disk."""
    if isinstance(error, OSError) and error.errno in CURES:
        return error.errno
    if any(clue in str(error) for clue in CLUES):
        return errno.ENOSPC
    # An error of the operating system with another number is no riddle.
    riddle = not isinstance(error, OSError) and isinstance(error, RuntimeError)
    return errno.ENOSPC if riddle and free_bytes(path) < NEARLY_NOTHING else None


def _free(path: Path) -> str:
    found = os.statvfs(_existing(path))
    total = found.f_blocks * found.f_frsize
    return f"{free_bytes(path) / MEBIBYTE:.1f} MiB of {total / MEBIBYTE:.0f} are free on its file system"


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())
