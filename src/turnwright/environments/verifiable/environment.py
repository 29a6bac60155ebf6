"""VerifiableEnvironment: tasks whose answer is code, which really runs, contained, and is judged from outside.

    episode's workspace: files of the task <--tools-- policy
            |  the files it leaves, without those it may not touch
            v
    fresh workspace: + the files it may not touch --hidden cases asked--> values --compared on the host--> verdict

What the policy's code does to its tests, its interpreter or the program that asks it changes no verdict: see
``cases.py``. Code that is wrong, crashes or takes too long is a reward; a sandbox that breaks is a failure.
"""

import errno
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from turnwright.core.episode import Episode
from turnwright.core.errors import ToolError
from turnwright.core.task import Task
from turnwright.environments.base import TurnRewards
from turnwright.environments.resources.sandbox import SandboxWorkspace
from turnwright.environments.stateful import StatefulEnvironment
from turnwright.environments.tools import tool
from turnwright.environments.verifiable.cases import ENVIRONMENT, Case, CaseResult, run_cases
from turnwright.sandbox.base import Sandbox, SandboxLimits, Workspace
from turnwright.sandbox.folder import PREFIX

LIMITS = SandboxLimits(cpu_seconds=20.0, wall_seconds=30.0, output_bytes=512 * 1024, disk_bytes=16 * 1024 * 1024)
MAX_SUBMISSION_BYTES = 1_000_000
MAX_SUBMISSION_FILES = 200
MAX_FILE_CHARACTERS = 20_000
"""Shown of a file or of what a program prints; a notice says that there is more."""
MAX_WRITTEN_CHARACTERS = 200_000
MAX_CODE_BYTES = 100_000
"""Of a program that is an argument of the interpreter; the kernel takes no more than 128 KiB."""
PATH_ERRORS = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EEXIST})
FOLDER = re.compile(rf"(?:/[\w.-]+)*/{re.escape(PREFIX)}\w+/[\w-]+")
"""A folder of a sandbox that shows programs the host's own paths."""
ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of all cases; at least one."""

    results: tuple[CaseResult, ...]

    @property
    def share(self) -> float:
        """Return passed cases / all cases."""
        return sum(result.passed for result in self.results) / len(self.results)

    @property
    def components(self) -> dict[str, float]:
        """Return the share of cases that passed, and of those that ended otherwise than by a value or an exception."""
        endings = [result.ending for result in self.results]
        return {
            "passed": self.share,
            "timeout": endings.count("timeout") / len(endings),
            "ended": endings.count("ended") / len(endings),
        }


class VerifiableEnvironment(StatefulEnvironment):
    """Base of environments whose tasks ask for a module; write ``tasks``, and take the tools that a policy needs.

    ``Task.data`` has "files" (text by path), "hidden" and, where there is a tool that tells, "visible" (lists of
    entries that ``Case.read`` takes), "module" (default "solution"), and "protected": paths among the files that are
    put back as they were before grading.

    Example::

        class Doubling(EditsFiles, RunsTests, VerifiableEnvironment):
            instructions = "Write solution.py. run_tests tries it out. Say done in the end."

            def tasks(self, split: Split) -> list[Task]:
                data = {"files": {}, "visible": [{"expression": "double(2)", "expected": "4"}],
                        "hidden": [{"expression": "double('ab')", "expected": "'abab'"}]}
                return [Task(id="1", prompt="double(x) returns x twice", data=data, split=split)]
    """

    waits = True
    workspace: Workspace
    _grading: ExitStack = ExitStack()

    def __init__(
        self,
        *,
        sandbox: str | Sandbox = "auto",
        unsafe_local: bool = False,
        limits: SandboxLimits = LIMITS,
        case_seconds: float = 1.0,
    ) -> None:
        """Find a sandbox.

        Args:
            sandbox: "auto", the name of a back end, or an open one.
            unsafe_local: Run without isolation where there is none.
            limits: What one program may take, all cases of a module being one.
            case_seconds: Processor time of one case.

        Raises:
            EnvironmentLoadError: no sandbox works.
        """
        self._room = SandboxWorkspace(
            sandbox, unsafe_local=unsafe_local, limits=limits, files=lambda task: task.data["files"]
        )
        self.resources: Mapping[str, SandboxWorkspace] = {"workspace": self._room}
        self._case_seconds = case_seconds

    def reward(self, episode: Episode) -> float | dict[str, float] | TurnRewards:
        """Return the share of hidden cases that pass in a fresh workspace."""
        verdict = self.grade(self._cases("hidden"))
        return {"total": verdict.share, **verdict.components}

    def grade(self, cases: Sequence[Case]) -> Verdict:
        """Ask the module that the policy leaves, in a fresh workspace.

        Raises SandboxError when the sandbox breaks, and ValueError without cases.
        """
        if not cases:
            raise ValueError(f"task {self.task.id!r} has no hidden cases: nothing could tell right from wrong")
        files = self.submission()
        protected = {path: self.task.data["files"][path].encode() for path in self.task.data.get("protected", ())}
        with ExitStack() as self._grading:
            workspace = self._grading.enter_context(self._room.fresh({**files, **protected}))
            results = run_cases(workspace, self._module, cases, seconds=self._case_seconds)
        return Verdict(results=tuple(results))

    def close(self) -> None:
        """Close the episode's workspace, and the one in which a cancelled episode is still graded."""
        try:
            self._grading.close()
        finally:
            super().close()

    def submission(self) -> dict[str, bytes]:
        """Return the files that the policy leaves; none when they are too many or too large to be a solution."""
        paths = self.workspace.files()
        if len(paths) > MAX_SUBMISSION_FILES:
            return {}
        files = {path: self.workspace.read(path) for path in paths}
        return files if sum(map(len, files.values())) <= MAX_SUBMISSION_BYTES else {}

    @property
    def _module(self) -> str:
        return self.task.data.get("module", "solution")

    def _cases(self, kind: str) -> list[Case]:
        return [Case.read(entry) for entry in self.task.data[kind]]


class ListsFiles:
    """A tool that tells what there is."""

    workspace: Workspace

    @tool
    def list_files(self) -> list[str]:
        """Return the paths of all files."""
        return list(self.workspace.files())


class EditsFiles:
    """Tools to read and write files of the workspace."""

    task: Task
    workspace: Workspace

    @tool
    def read_file(self, path: str) -> str:
        """Return a text file.

        Args:
            path: Path of the file.
        """
        return _cut(self._text(path))

    @tool
    def write_file(self, path: str, content: str) -> str:
        """Write a text file, anew or over what was there.

        Args:
            path: Path of the file.
            content: All of its text.
        """
        if len(content) > MAX_WRITTEN_CHARACTERS:
            raise ToolError(f"{len(content)} characters are too many: at most {MAX_WRITTEN_CHARACTERS}")
        try:
            self.workspace.write(path, content.encode())
        except (ValueError, OSError) as error:
            raise _path_refused(path, error) from error
        return "written"

    @tool
    def replace_text(self, path: str, old: str, new: str) -> str:
        """Replace a piece of a text file, which must occur exactly once.

        Args:
            path: Path of the file.
            old: The piece as it stands there.
            new: What comes in its place.
        """
        text = self._text(path)
        if not old or text.count(old) != 1:
            raise ToolError(f"the text to replace occurs {text.count(old) if old else 0} times in {path}, not once")
        return self.write_file(path, text.replace(old, new))

    def _text(self, path: str) -> str:
        try:
            return self.workspace.read(path).decode()
        except FileNotFoundError as error:
            there = ", ".join(self.workspace.files()[:20])
            raise ToolError(f"no file {path!r}, there is: {there or 'none'}") from error
        except UnicodeDecodeError as error:
            raise ToolError(f"{path!r} is no text: {error.reason}") from error
        except (ValueError, OSError) as error:
            raise _path_refused(path, error) from error


class RunsTests:
    """A tool that asks the visible cases, in the episode's own workspace."""

    task: Task
    workspace: Workspace
    _case_seconds: float

    @tool
    def run_tests(self) -> str:
        """Run the tests and return a line for each."""
        cases = [Case.read(entry) for entry in self.task.data["visible"]]
        results = run_cases(self.workspace, self.task.data.get("module", "solution"), cases, seconds=self._case_seconds)
        lines = [f"{sum(result.passed for result in results)} of {len(results)} pass", *map(str, results)]
        return without_places("\n".join(lines), self.workspace.files())


class RunsPython:
    """A tool that runs Python of the policy's own, in the episode's own workspace."""

    workspace: Workspace

    @tool
    def run_python(self, code: str) -> dict[str, Any]:
        """Run Python code in the folder of the files and return what it prints.

        Args:
            code: The program.
        """
        if "\0" in code or len(code.encode()) > MAX_CODE_BYTES:
            raise ToolError(f"the code has a zero byte in it, or more than {MAX_CODE_BYTES} bytes: write it to a file")
        result = self.workspace.run(["python3", "-B", "-c", code], environment=ENVIRONMENT)
        files = self.workspace.files()
        told: dict[str, Any] = {
            "stdout": _cut(without_places(result.stdout, files)),
            "stderr": _cut(without_places(result.stderr, files)),
        }
        return told | ({"exit_code": result.exit_code} if result.ending == "exited" else {"ended_by": result.ending})


def _path_refused(path: str, error: ValueError | OSError) -> Exception:
    """Return what a tool raises: for the policy where its path is at fault, else what broke."""
    if isinstance(error, OSError) and error.errno not in PATH_ERRORS:
        return error
    return ToolError(f"{path[:100]!r} cannot be a file here: {getattr(error, 'strerror', None) or error}")


def without_places(text: str, files: Sequence[str]) -> str:
    """Return text without addresses of objects and folders of the host, which differ from run to run."""
    text = FOLDER.sub("/workspace", text)
    for path in sorted(files, key=len, reverse=True):
        text = re.sub(rf"(?<![\w./-])/[\w./-]*/{re.escape(path)}", path, text)
    return ADDRESS.sub("at 0x...", text)


def _cut(text: str) -> str:
    over = len(text) - MAX_FILE_CHARACTERS
    return f"{text[:MAX_FILE_CHARACTERS]}\n... {over} characters more" if over > 0 else text
