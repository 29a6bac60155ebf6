r"""Sandbox: where code that nobody vouches for runs.

    sandbox = open_sandbox()                              # bubblewrap, else landlock, else SandboxError
    with sandbox.workspace(SandboxLimits()) as workspace: # a private folder, gone in the end
        workspace.write("main.py", b"print(6 * 7)")
        result = workspace.run(["python3", "main.py"])    # result.ending == "exited", result.stdout == "42\n"

What a program does to itself - crash, loop, print without end, ask for too much - is a ``RunResult``. What keeps the
sandbox from doing its work is a ``SandboxError``: a failure of infrastructure, never an answer and never a reward.

All methods block; a coroutine calls them in a thread. They may be called from any thread, and closing a workspace ends
whatever still runs in it.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from turnwright.core.errors import TurnwrightError

Ending = Literal["exited", "signalled", "wall_time", "cpu_time", "memory", "disk", "output", "closed"]
"""Why a program ended: by itself, by a signal it earned, at one of the limits, or because its workspace was closed."""

MEBIBYTE = 1024 * 1024


class SandboxError(TurnwrightError):
    """The sandbox cannot start, or broke: never the doing of the program that runs in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What one run may take; all its processes share it."""

    memory_bytes: int = 512 * MEBIBYTE
    processes: int = 32
    """Processes and threads alive at once."""
    cpu_seconds: float = 10.0
    wall_seconds: float = 20.0
    output_bytes: int = 64 * 1024
    """Of standard output and of standard error, each; what is beyond is dropped and the run ended."""
    disk_bytes: int = 64 * MEBIBYTE
    """All files of the workspace and its temporary folder together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a program ended and what it printed."""

    ending: Ending
    exit_code: int | None
    """None unless it ended by itself."""
    stdout: str
    """UTF-8; bytes that are none are written as escapes."""
    stderr: str
    wall_seconds: float

    @property
    def succeeded(self) -> bool:
        """Return whether it ended by itself with exit code 0."""
        return self.ending == "exited" and self.exit_code == 0


class ProgramEndedError(TurnwrightError):
    """A program that was asked a line has ended instead of answering."""

    def __init__(self, message: str, result: RunResult) -> None:
        """Keep the message and how the program ended."""
        super().__init__(message)
        self.result = result
        """How it ended, with what it printed to standard error."""


class Conversation(Protocol):
    """A running program that answers one line with one line."""

    def ask(self, line: str) -> str:
        """Send one line and return the next line of its standard output, both without the line break.

        The limits of a run hold for the whole conversation, except wall time, which holds for each line.

        Raises:
            ProgramEndedError: it ended, or was ended at a limit, before it answered.
        """
        ...


class Workspace(Protocol):
    """A private folder in which programs run; what one run leaves there, the next one finds."""

    def write(self, path: str, content: bytes) -> None:
        """Put a file, and the folders above it.

        Raises ValueError when ``path`` is absolute, leaves the workspace, or goes through a link.
        """
        ...

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises FileNotFoundError when there is no regular file of that name; links are never followed.
        """
        ...

    def files(self) -> tuple[str, ...]:
        """Return the paths of all regular files, relative to the workspace, sorted.

        Bytes of a name that are no UTF-8 are written as ``os.fsdecode`` does; deeper than 128 folders nobody looks.
        """
        ...

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        limits: SandboxLimits | None = None,
    ) -> RunResult:
        """Run a program in the workspace until it has ended; what it leaves running is ended with it.

        A program that is not there or cannot be started has exit code 127 or 126, as in a shell, and says so on
        standard error. Nothing of the temporary folder (TMPDIR, also HOME) is left afterwards.

        Args:
            command: Program and arguments; "python3" is the interpreter that runs Turnwright, with its packages.
            stdin: What it reads.
            environment: Variables beside PATH, HOME, LANG and TMPDIR; nothing of the host's comes through.
            limits: Instead of the workspace's own.

        Raises:
            SandboxError: the sandbox broke; what the program does is in the result.
        """
        ...

    def converse(self, command: Sequence[str]) -> AbstractContextManager[Conversation]:
        """Start a program to be asked line by line; leaving the context ends it.

        Raises SandboxError when the sandbox breaks.
        """
        ...


class Sandbox(Protocol):
    """A way to contain programs."""

    name: str
    """Such as "bubblewrap"."""

    def workspace(self, limits: SandboxLimits, *, readable: Sequence[Path] = ()) -> AbstractContextManager[Workspace]:
        """Return the context in which a workspace exists; leaving it ends all its programs and removes its files.

        Args:
            limits: What each run may take.
            readable: Folders and files of the host that programs may read, at their own paths.
        """
        ...
