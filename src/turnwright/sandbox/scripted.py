"""ScriptedSandbox: answers from a script instead of running anything. For tests and dry runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from turnwright.sandbox.base import (
    Conversation,
    ProgramEndedError,
    RunResult,
    SandboxError,
    SandboxLimits,
    Workspace,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One program that was to be run."""

    command: tuple[str, ...]
    stdin: bytes
    environment: Mapping[str, str]
    limits: SandboxLimits
    files: Mapping[str, bytes]
    """What the workspace held, by path."""


Runs = Sequence[RunResult | SandboxError] | Callable[[Asked], RunResult]
"""One answer per run of all workspaces together, an error being raised; or a function of what was asked."""
Lines = Sequence[str] | Callable[[str], str]
"""One answer per line of each conversation, or a function of the line."""


def exited(stdout: str = "", *, exit_code: int = 0, stderr: str = "") -> RunResult:
    """Return the result of a program that ended by itself at once."""
    return RunResult(ending="exited", exit_code=exit_code, stdout=stdout, stderr=stderr, wall_seconds=0.0)


class ScriptedSandbox:
    """Implements Sandbox; files are kept in memory.

    Example::

        sandbox = ScriptedSandbox([exited("42"), SandboxError("no space left")])
    """

    name = "scripted"

    def __init__(self, runs: Runs = (), *, lines: Lines = ()) -> None:
        """Take what programs answer to being run, and to being asked lines."""
        self.asked: list[Asked] = []
        """All runs, in order."""
        self.lines: list[str] = []
        """All lines of all conversations, in order."""
        self.readable: list[tuple[Path, ...]] = []
        """What each workspace was opened with."""
        self.open_workspaces = 0
        self._runs = runs
        self._lines = lines

    @contextmanager
    def workspace(self, limits: SandboxLimits, *, readable: Sequence[Path] = ()) -> Iterator[Workspace]:
        """Return the context of a workspace that holds nothing."""
        self.readable.append(tuple(readable))
        self.open_workspaces += 1
        workspace = ScriptedWorkspace(self, limits)
        try:
            yield workspace
        finally:
            self.open_workspaces -= 1
            workspace.closed = True

    def answer(self, asked: Asked) -> RunResult:
        """Return what the script says to one run.

        Raises:
            SandboxError: the script says so, or has no more answers.
        """
        self.asked.append(asked)
        if callable(self._runs):
            return self._runs(asked)
        answer = self._runs[len(self.asked) - 1] if len(self.asked) <= len(self._runs) else _exhausted(asked.command)
        if isinstance(answer, SandboxError):
            raise answer
        return answer

    def next_line(self, line: str, number: int) -> str | None:
        """Return what the script says to the line of that number of a conversation; None = the program ends."""
        self.lines.append(line)
        if callable(self._lines):
            return self._lines(line)
        return self._lines[number] if number < len(self._lines) else None


class ScriptedWorkspace:
    """Implements Workspace in memory."""

    def __init__(self, sandbox: ScriptedSandbox, limits: SandboxLimits) -> None:
        """Start empty."""
        self.closed = False
        self._sandbox = sandbox
        self._limits = limits
        self._files: dict[str, bytes] = {}

    def write(self, path: str, content: bytes) -> None:
        """Keep a file."""
        if path.startswith("/") or ".." in path.split("/") or path in ("", "."):
            raise ValueError(f"{path!r} is no path within the workspace: expected one such as 'src/main.py'")
        self._files[path] = content

    def read(self, path: str) -> bytes:
        """Return a file that was kept."""
        if path not in self._files:
            raise FileNotFoundError(f"no regular file {path!r} in the workspace")
        return self._files[path]

    def files(self) -> tuple[str, ...]:
        """Return the paths of all files, sorted."""
        return tuple(sorted(self._files))

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        limits: SandboxLimits | None = None,
    ) -> RunResult:
        """Answer by the script."""
        self._check_open()
        return self._sandbox.answer(
            Asked(
                command=tuple(command),
                stdin=stdin,
                environment=dict(environment or {}),
                limits=limits or self._limits,
                files=dict(self._files),
            )
        )

    @contextmanager
    def converse(self, command: Sequence[str]) -> Iterator[Conversation]:
        """Answer line by line by the script."""
        self._check_open()
        yield ScriptedConversation(self._sandbox, command[0])

    def _check_open(self) -> None:
        if self.closed:
            raise SandboxError("the workspace is closed: run programs before its context is left")


class ScriptedConversation:
    """Implements Conversation by the script's lines."""

    def __init__(self, sandbox: ScriptedSandbox, program: str) -> None:
        """Start at the first line."""
        self._sandbox = sandbox
        self._program = program
        self._asked = 0

    def ask(self, line: str) -> str:
        """Return the script's next line; without one the program has ended."""
        answer = self._sandbox.next_line(line, self._asked)
        self._asked += 1
        if answer is None:
            raise ProgramEndedError(f"{self._program!r} ended instead of answering", exited())
        return answer


def _exhausted(command: Sequence[str]) -> SandboxError:
    return SandboxError(f"the script has no answer left for {' '.join(command)!r}: add one, or run less")
