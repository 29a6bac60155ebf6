"""SandboxWorkspace: a folder per episode in which programs run contained."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b

from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.task import Task
from turnwright.environments.resources.base import Resource, State
from turnwright.sandbox.base import Sandbox, SandboxError, SandboxLimits, Workspace
from turnwright.sandbox.choose import open_sandbox


class SandboxWorkspace(Resource[Workspace]):
    """A workspace per episode; its handle reads and writes files, and runs programs.

    Example::

        resources = {"workspace": SandboxWorkspace(files=lambda task: {"main.py": task.data["code"]})}
    """

    waits = True

    def __init__(
        self,
        sandbox: str | Sandbox = "auto",
        *,
        unsafe_local: bool = False,
        limits: SandboxLimits | None = None,
        files: Callable[[Task], Mapping[str, str]] = lambda task: {},
    ) -> None:
        """Find a sandbox that works.

        Args:
            sandbox: One that is open, or what ``open_sandbox`` takes.
            unsafe_local: Run without isolation where there is none.
            limits: What each run may take.
            files: The text files of a task, by path.

        Raises:
            EnvironmentLoadError: there is no such sandbox, or none works here.
        """
        try:
            self.sandbox = open_sandbox(sandbox, unsafe_local=unsafe_local) if isinstance(sandbox, str) else sandbox
        except SandboxError as error:
            raise EnvironmentLoadError(f"an environment that runs code needs a sandbox: {error}") from error
        self._limits = limits or SandboxLimits()
        self._files = files

    @contextmanager
    def opened(self, task: Task, seed: int) -> Iterator[Workspace]:
        """Hold a workspace with the task's files until the episode ends."""
        with self.fresh({path: text.encode() for path, text in self._files(task).items()}) as workspace:
            yield workspace

    @contextmanager
    def fresh(self, files: Mapping[str, bytes]) -> Iterator[Workspace]:
        """Hold another workspace, such as one to grade in."""
        with self.sandbox.workspace(self._limits) as workspace:
            for path, content in files.items():
                workspace.write(path, content)
            yield workspace

    def state(self, handle: Workspace) -> State:
        """Return size and digest of every file, by its path."""
        return {path: (_describe(handle.read(path)),) for path in handle.files()}


def _describe(content: bytes) -> dict[str, object]:
    return {"bytes": len(content), "digest": blake2b(content, digest_size=16).hexdigest()}
