"""TemporaryFolder: a folder per episode, and the way to tell a folder in use from one that a killed process left.

A folder in use is locked through an open descriptor, which the system lets go of when its process dies, however it
dies. ``sweep_leftovers`` removes folders of our name that nobody holds locked.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from turnwright.core.task import Task
from turnwright.environments.resources.base import Resource, State
from turnwright.sandbox.folder import is_abandoned, make_locked

PREFIX = "turnwright-episode-"
NAME = re.compile(re.escape(PREFIX) + r"\w{8}(-ended)?")
REMOVAL_ATTEMPTS = 20
"""Times a removal is tried again when a tool that took too long writes into the folder meanwhile."""


class TemporaryFolder(Resource[Path]):
    """An empty folder per episode, below ``tempfile.gettempdir()``; its handle is the path.

    Example::

        resources = {"files": TemporaryFolder()}    # tools use self.resource("files") / "report.txt"
    """

    @contextmanager
    def opened(self, task: Task, seed: int) -> Iterator[Path]:
        """Hold a new folder until the episode ends."""
        with held_folder() as folder:
            yield folder

    def state(self, handle: Path) -> State:
        """Return size and digest of every file, by its path within the folder."""
        files = sorted(path for path in handle.rglob("*") if path.is_file())
        return {str(path.relative_to(handle)): (_describe(path),) for path in files}

    def sweep_leftovers(self) -> tuple[str, ...]:
        """Remove the episode folders of processes that are gone."""
        return sweep_folders()


@contextmanager
def held_folder() -> Iterator[Path]:
    """Make a folder, hold it locked, and remove it with everything in it."""
    folder, descriptor = make_locked(PREFIX)
    try:
        yield folder
    finally:
        try:
            # Under another name first: a tool that goes on finds no folder to write into.
            with suppress(FileNotFoundError):
                _remove(folder.rename(folder.with_name(f"{folder.name}-ended")))
        finally:
            os.close(descriptor)


def sweep_folders() -> tuple[str, ...]:
    """Remove the episode folders that no process holds, and return their paths."""
    swept: list[str] = []
    for entry in os.scandir(tempfile.gettempdir()):
        if NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False) and is_abandoned(entry.path):
            _remove(Path(entry.path))
            swept.append(entry.path)
    return tuple(sorted(swept))


def _remove(folder: Path) -> None:
    for attempt in range(1, REMOVAL_ATTEMPTS + 1):
        try:
            shutil.rmtree(folder)
            return
        except FileNotFoundError:
            return
        except OSError:
            if attempt == REMOVAL_ATTEMPTS:
                raise
            _unlock(folder)
            time.sleep(0.001)


def _unlock(folder: Path) -> None:
    """Let the owner write into every folder below: what a tool made read-only must go as well."""
    for parent, names, _ in os.walk(folder):
        for path in (Path(parent), *(Path(parent, name) for name in names)):
            if not path.is_symlink():
                path.chmod(0o700)


def _describe(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {"bytes": len(content), "digest": blake2b(content, digest_size=16).hexdigest()}
