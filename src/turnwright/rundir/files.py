"""Files that survive a crash, and a full disk: replaced whole, or appended line by line.

A disk that takes no more is a DiskError (space.py).
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Self

from turnwright.rundir.space import recording


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace ``path`` so that a reader, or a crash, sees either the old content or the new one."""
    # Of this thread: the watchdog's writes the status too.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with recording(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            publish(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_private(path: Path, content: str) -> None:
    """Replace ``path`` by a file that only its owner may read."""
    with recording(path):
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)


def publish(temporary: Path, path: Path) -> None:
    """Rename a finished file or folder to its name and make the renaming durable."""
    temporary.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Hand a file's content, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_line(file: FileIO, line: bytes, *, size: int) -> int:
    """Append one record to an unbuffered file of ``size`` bytes and return the new size; a failure changes nothing."""
    left = memoryview(line + b"\n")
    grown = size + len(left)
    try:
        while left:
            left = left[file.write(left) :]
    except BaseException:
        with suppress(OSError):
            file.truncate(size)
        raise
    return grown


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class LineLog:
    """An append-only file of JSON lines, open for writing.

    A torn last line, left by a crash, is cut off on opening: it never was a record. So is what a full disk took of one.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` for appending; makes file and folder when they are missing."""
        self.path = path
        with recording(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _cut_torn_tail(path)
            # Unbuffered: a buffer would keep what a full disk did not take, and write it later behind other lines.
            self._file = path.open("ab", buffering=0)
            self._size = path.stat().st_size

    def append(self, line: bytes) -> None:
        """Append one record and hand it to the operating system: it survives a crash of this process.

        Raises:
            DiskError: The disk takes no more; the file is as it was.
        """
        with recording(self.path):
            self._size = write_line(self._file, line, size=self._size)

    def sync(self) -> None:
        """Hand everything to the disk: it survives a crash of the machine."""
        with recording(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close."""
        if not self._file.closed:
            try:
                self.sync()
            finally:
                self._file.close()

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Sync and close."""
        self.close()


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield whole lines without their end; none when the file is missing. A torn last line is left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def _cut_torn_tail(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
