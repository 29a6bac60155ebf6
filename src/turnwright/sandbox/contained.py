"""ContainedWorkspace: what back ends share - a folder of the host, and programs that run in it under a supervisor."""

import os
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from turnwright.sandbox.base import Conversation, RunResult, SandboxError, SandboxLimits, Workspace
from turnwright.sandbox.conversation import LineConversation
from turnwright.sandbox.files import list_files, read_file, write_file
from turnwright.sandbox.folder import held_folder, remove_tree
from turnwright.sandbox.supervised import Running, Settings
from turnwright.sandbox.user import own_user

INTERPRETER = "python3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one program runs, in paths of the host."""

    files: Path
    """The workspace."""
    temporary: Path
    """A folder of this run alone."""
    readable: tuple[Path, ...]
    limits: SandboxLimits
    user: int | None
    """Whom the program runs as, a user of this workspace alone; None = whoever runs Turnwright."""


class BackEnd(Protocol):
    """How one kind of sandbox contains a program."""

    own_user: bool
    """Whether each workspace gets a user of its own, where there is a right to choose one."""

    def inside(self, place: Place) -> tuple[str, str]:
        """Return the paths of workspace and temporary folder as the program sees them."""
        ...

    def complete(self, place: Place, settings: Settings) -> Settings:
        """Return what the supervisor is told."""
        ...

    def command(self, place: Place, supervisor: Sequence[str], handed: list[int]) -> list[str]:
        """Return the command that starts the supervisor; descriptors it inherits are added to ``handed``.

        Args:
            place: Where the program will run.
            supervisor: The command that would start it uncontained.
            handed: Descriptors that are inherited.
        """
        ...


class ContainedWorkspace:
    """Implements Workspace over a back end."""

    def __init__(self, back_end: BackEnd, limits: SandboxLimits, readable: Sequence[Path], folder: Path) -> None:
        """Take an empty folder that somebody holds and removes."""
        self._back_end = back_end
        self._limits = limits
        self._readable = tuple(Path(path).absolute() for path in readable)
        self._folder = folder
        self._user = own_user() if back_end.own_user else None
        self._files = self._make("files")
        self._running: set[Running] = set()
        self._at_work = 0
        """Runs between their first step and their last."""
        self._changed = threading.Condition()
        self._closed = False

    def write(self, path: str, content: bytes) -> None:
        """Put a file, and the folders above it."""
        write_file(self._files, path, content, self._user)

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return read_file(self._files, path)

    def files(self) -> tuple[str, ...]:
        """Return the paths of all regular files."""
        return list_files(self._files)

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        limits: SandboxLimits | None = None,
    ) -> RunResult:
        """Run a program until it and all it started have ended."""
        limits = limits or self._limits
        with self._started(command, environment or {}, limits, stdin, limits.wall_seconds) as running:
            return running.result()

    @contextmanager
    def converse(self, command: Sequence[str]) -> Iterator[Conversation]:
        """Start a program to be asked line by line."""
        with self._started(command, {}, self._limits, None, None) as running:
            conversation = LineConversation(running, command[0], self._limits.wall_seconds)
            try:
                yield conversation
            finally:
                running.cut("closed")
                conversation.result()

    def close(self) -> None:
        """End whatever runs, and wait until it has ended."""
        with self._changed:
            self._closed = True
            for running in self._running:
                running.cut("closed")
            self._changed.wait_for(lambda: self._at_work == 0)

    @contextmanager
    def _started(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        limits: SandboxLimits,
        stdin: bytes | None,
        wall_seconds: float | None,
    ) -> Iterator[Running]:
        if not command:
            raise ValueError("the command is empty: give a program and its arguments")
        self._begin()
        try:
            temporary = self._make(f"temporary-{secrets.token_hex(8)}")
            place = Place(
                files=self._files, temporary=temporary, readable=self._readable, limits=limits, user=self._user
            )
            folder, home = self._back_end.inside(place)
            settings = Settings(
                command=(sys.executable if command[0] == INTERPRETER else command[0], *command[1:]),
                environment={
                    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
                    "HOME": home,
                    "LANG": "C.UTF-8",
                    "TMPDIR": home,
                    **environment,
                },
                folder=folder,
                writable=(folder, home),
                readable=tuple(map(str, self._readable)),
                limits=limits,
                wall_seconds=wall_seconds,
                user=self._user,
            )
            running = self._enter(place, settings, stdin)
            try:
                yield running
            finally:
                with self._changed:
                    self._running.discard(running)
                remove_tree(temporary)
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _begin(self) -> None:
        with self._changed:
            self._check_open()
            self._at_work += 1

    def _enter(self, place: Place, settings: Settings, stdin: bytes | None) -> Running:
        # Under the lock, so that closing misses none.
        with self._changed:
            self._check_open()
            running = Running(
                self._back_end.complete(place, settings),
                lambda supervisor, handed: self._back_end.command(place, supervisor, handed),
                stdin=stdin,
            )
            self._running.add(running)
            return running

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxError("the workspace is closed: run programs before its context is left")

    def _make(self, name: str) -> Path:
        folder = self._folder / name
        try:
            folder.mkdir(mode=0o700)
            if self._user is not None:
                os.chown(folder, self._user, self._user)
        except OSError as error:
            raise SandboxError(f"the folder {folder} cannot be made: {error}") from error
        return folder


@contextmanager
def contained_workspace(back_end: BackEnd, limits: SandboxLimits, readable: Sequence[Path]) -> Iterator[Workspace]:
    """Hold a workspace; leaving it ends its programs and removes its files.

    Raises:
        SandboxError: a path of ``readable`` does not exist, or the folder cannot be made or removed.
    """
    missing = [str(path) for path in readable if not can_be_seen(path)]
    if missing:
        raise SandboxError(f"readable names {missing[0]!r}, which does not exist: give existing files and folders")
    with held_folder() as folder:
        workspace = ContainedWorkspace(back_end, limits, readable, folder)
        try:
            yield workspace
        finally:
            workspace.close()


def can_be_seen(path: Path) -> bool:
    """Return whether a path exists and this process may know."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def open_to_all(path: Path) -> bool:
    """Return whether the mode of a file or folder lets every user read it, or look into it."""
    needed = 0o5 if path.is_dir() else 0o4
    return path.stat().st_mode & needed == needed


def interpreter_folders() -> tuple[Path, ...]:
    """Return the folders of the interpreter and its packages that lie outside /usr, upper ones first."""
    program = Path(sys.executable).resolve()
    folders = {Path(sys.base_prefix).absolute(), Path(sys.prefix).absolute(), program.parents[1]}
    return tuple(sorted(folder for folder in folders if not folder.is_relative_to("/usr")))
