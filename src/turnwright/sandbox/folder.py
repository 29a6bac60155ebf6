"""The folder of one workspace on the host, and the way to tell one in use from one that a killed process left.

    turnwright-sandbox-XXXXXXXX/         0711, ours; locked while in use
        files/                           0700, the program's: the workspace
        temporary/                       0700, the program's: emptied for each run

A lock is held through an open descriptor, which the system lets go of when its process dies, however it dies.
"""

import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from turnwright.sandbox.base import SandboxError

PREFIX = "turnwright-sandbox-"
NAME = re.compile(re.escape(PREFIX) + r"\w{8}")


@contextmanager
def held_folder() -> Iterator[Path]:
    """Make a folder, hold it locked, and remove it with everything in it.

    Raises:
        SandboxError: it cannot be made or removed.
    """
    try:
        folder, descriptor = make_locked(PREFIX, mode=0o711)
    except OSError as error:
        raise SandboxError(f"no folder can be made in {tempfile.gettempdir()}: {error}") from error
    try:
        yield folder
    finally:
        try:
            remove_tree(folder)
        finally:
            os.close(descriptor)


def sweep_folders() -> tuple[str, ...]:
    """Remove the folders that no process holds, and return their paths."""
    swept: list[str] = []
    for entry in os.scandir(tempfile.gettempdir()):
        if NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False) and is_abandoned(entry.path):
            with suppress(SandboxError):  # two openers may sweep at once
                remove_tree(Path(entry.path))
                swept.append(entry.path)
    return tuple(sorted(swept))


def remove_tree(folder: Path) -> None:
    """Remove a folder whatever a program made of it: read-only parts, links, a nest too deep for any path.

    Raises:
        SandboxError: the system does not let it go.
    """
    try:
        _empty(folder)
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SandboxError(f"the folder {folder} of a workspace cannot be removed: {error}") from error


def names_in(folder: int) -> list[str]:
    """Return the names in an open folder."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def open_folder(name: str, within: int | None = None) -> int:
    """Open a folder, never through a link; one that its owner made unreadable is made readable.

    Raises OSError when it is no folder or does not exist.
    """
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=within)
    except PermissionError:
        place = os.open(name, os.O_PATH | flags, dir_fd=within)
        try:
            Path(f"/proc/self/fd/{place}").chmod(0o700)
        finally:
            os.close(place)
        return os.open(name, os.O_RDONLY | flags, dir_fd=within)


def make_locked(prefix: str, *, mode: int = 0o700) -> tuple[Path, int]:
    """Make a folder below the temporary one, called ``prefix`` and eight characters.

    It gets the name that a sweep looks for only once it is locked.

    Returns:
        The folder, and the descriptor through which it is locked until that is closed.

    Raises:
        OSError: it cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix="turnwright-new-"))
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # too many open files: nothing that needs a descriptor would remove it either
        folder.rmdir()
        raise
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    folder.chmod(mode)
    return folder.rename(folder.with_name(prefix + folder.name[-8:])), descriptor


def is_abandoned(folder: str) -> bool:
    """Return whether no process holds a folder that ``make_locked`` made."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # gone meanwhile, or somebody else's
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    top = open_folder(str(folder))
    try:
        while names := names_in(top):
            for name in names:
                _remove_entry(top, name)
    finally:
        os.close(top)


def _remove_entry(top: int, name: str) -> None:
    if not stat.S_ISDIR(os.lstat(name, dir_fd=top).st_mode):
        os.unlink(name, dir_fd=top)
        return
    folder = open_folder(name, within=top)
    try:
        os.fchmod(folder, 0o700)
        for child in names_in(folder):
            if stat.S_ISDIR(os.lstat(child, dir_fd=folder).st_mode):
                # To the top instead of down into it: neither recursion nor open folders grow with the depth.
                os.close(_open_writable(child, folder))
                os.rename(child, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(child, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _open_writable(name: str, within: int) -> int:
    folder = open_folder(name, within)
    os.fchmod(folder, 0o700)
    return folder
