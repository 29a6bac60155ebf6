"""Files of a workspace, as the host writes and reads them: nothing that a program left there leads out of it.

A path is walked folder by folder through open descriptors, and no step follows a link, so it does not matter what is
swapped for what meanwhile. Files are opened without waiting and used only if they turn out to be regular.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from turnwright.sandbox.folder import names_in, open_folder

MOST_DEPTH = 128
"""Folders within each other that are listed."""


def write_file(root: Path, path: str, content: bytes, owner: int | None) -> None:
    """Put a file and the folders above it.

    The file is a new one under an old name: what a program left there as a link, a FIFO or a second name of another
    file is replaced and not written into.

    Args:
        root: The workspace.
        path: Relative to it.
        content: What the file holds.
        owner: User and group that the file and new folders get; None = this process's.

    Raises:
        ValueError: ``path`` is absolute, leaves the workspace, goes through a link or a file, or names a folder.
    """
    *above, name = _parts(path)
    with _folder(root, above, path, create=True, owner=owner) as folder:
        new = f".{secrets.token_hex(8)}"
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(content)
                _give(file, owner)
            os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        except (IsADirectoryError, NotADirectoryError) as error:
            raise ValueError(f"{path!r} is a folder of the workspace: name a file") from error
        finally:
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=folder)


def read_file(root: Path, path: str) -> bytes:
    """Return the content of a regular file.

    Raises:
        FileNotFoundError: there is no regular file of that name, or it is behind a link.
    """
    absent = FileNotFoundError(f"no regular file {path!r} in the workspace")
    try:
        *above, name = _parts(path)
        with _folder(root, above, path, create=False, owner=None) as folder:
            # Without O_NONBLOCK a FIFO that nobody writes to would hold this process.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except (ValueError, OSError):
        raise absent from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise absent
    with os.fdopen(file, "rb") as stream:
        return stream.read()


def list_files(root: Path) -> tuple[str, ...]:
    """Return the paths of all regular files, sorted; bytes that are no UTF-8 as ``os.fsdecode`` writes them."""
    top = open_folder(str(root))
    try:
        return tuple(sorted(_walk(top, "", MOST_DEPTH)))
    finally:
        os.close(top)


def _walk(folder: int, above: str, depth: int) -> Iterator[str]:
    for name in names_in(folder):
        try:
            mode = os.lstat(name, dir_fd=folder).st_mode
            if stat.S_ISREG(mode):
                yield above + name
            elif stat.S_ISDIR(mode) and depth > 1:
                child = open_folder(name, within=folder)
                try:
                    yield from _walk(child, f"{above}{name}/", depth - 1)
                finally:
                    os.close(child)
        except OSError:  # gone, or another thing by now: a program may run meanwhile
            continue


@contextmanager
def _folder(root: Path, above: list[str], path: str, *, create: bool, owner: int | None) -> Iterator[int]:
    folder = open_folder(str(root))
    try:
        for name in above:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=folder)
                    _give_folder(folder, name, owner)
            try:
                child = open_folder(name, within=folder)
            except OSError as error:
                raise ValueError(f"{path!r} goes through {name!r}, which is a link or no folder") from error
            os.close(folder)
            folder = child
        yield folder
    finally:
        os.close(folder)


def _give_folder(within: int, name: str, owner: int | None) -> None:
    folder = open_folder(name, within=within)
    try:
        _give(folder, owner)
    finally:
        os.close(folder)


def _give(file: int, owner: int | None) -> None:
    if owner is not None:
        os.fchown(file, owner, owner)


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or not parts or ".." in parts or "\0" in path:
        raise ValueError(f"{path!r} is no path within the workspace: expected one such as 'src/main.py'")
    return parts
