"""The checkout's own tools.py, run in a sandbox: one process per episode, started by its first call.

    call --line of JSON--> worker in the sandbox --> process_tool_call --> an answer | what it raised | it ended

A tool refuses arguments by raising, so what it raises is an answer for the agent. It counts as a broken tool where the
arguments cannot be the reason: they fit the schema, name ids of the table, and the error is no ``ValueError``.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from importlib.resources import files
from typing import Any

from turnwright.core.errors import EnvironmentLoadError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.environments.base import ToolCrash
from turnwright.environments.sop_folder import SopFolder
from turnwright.environments.tools import Tool, argument_problems
from turnwright.sandbox.base import (
    MEBIBYTE,
    Conversation,
    ProgramEndedError,
    Sandbox,
    SandboxError,
    SandboxLimits,
)
from turnwright.sandbox.choose import open_sandbox

WORKER = "sop_worker.py"
INSIDE = "domain"
"""Folder of the workspace that holds the tools and what they read; they may write beside it."""
DELIBERATE = "ValueError"
"""What the benchmark's tools raise to refuse a call."""
LIMITS = SandboxLimits(
    memory_bytes=1024 * MEBIBYTE,
    processes=64,
    cpu_seconds=120.0,
    wall_seconds=60.0,
    output_bytes=64 * MEBIBYTE,
    disk_bytes=256 * MEBIBYTE,
)
"""Limits of an episode: tools that read a table with a data frame library take a second and 200 MB to start."""


class SandboxedTools:
    """The tools of one folder, to be started once per episode."""

    def __init__(self, folder: SopFolder, *, sandbox: str = "auto", unsafe_local: bool = False) -> None:
        """Take the folder and the way to contain its tools; raises EnvironmentLoadError when it has no tools.py."""
        if folder.tools_file is None or folder.path is None:
            raise EnvironmentLoadError(
                f"SOP folder {folder.name!r} has no tools.py to run in a sandbox: point at a full checkout, or "
                "describe the tools under 'lookups' in metadata.json"
            )
        self.folder_name = folder.name
        self._folder = folder.path
        self._name, self._unsafe_local = sandbox, unsafe_local
        self.specs: Mapping[str, ToolSpec] = {spec.name: spec for spec in folder.tools}
        rows = [row for some in folder.rows.values() for row in some]
        self.known = {column: frozenset(row[column] for row in rows) for column in folder.columns}
        """Values of each column: an argument of that name with another value is the agent's mistake."""

    @cached_property
    def sandbox(self) -> Sandbox:
        """The sandbox, found when it is first needed; raises SandboxError where there is none."""
        return open_sandbox(self._name, unsafe_local=self._unsafe_local)

    def start(self) -> "ToolsProcess":
        """Start the tools of an episode; raises SandboxError, or ToolCrash when tools.py cannot be used."""
        with ExitStack() as stack:
            workspace = stack.enter_context(self.sandbox.workspace(LIMITS))
            for file in sorted(self._folder.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    workspace.write(f"{INSIDE}/{file.relative_to(self._folder).as_posix()}", file.read_bytes())
            workspace.write(WORKER, files("turnwright.environments").joinpath(WORKER).read_bytes())
            process = ToolsProcess(self, stack.enter_context(workspace.converse(["python3", WORKER, INSIDE])))
            process.greet()
            process.resources = stack.pop_all()
            return process


class ToolsProcess:
    """The tools of one episode, running."""

    def __init__(self, tools: SandboxedTools, conversation: Conversation) -> None:
        """Take the program that ``SandboxedTools.start`` started."""
        self._tools, self._conversation = tools, conversation
        self.resources = ExitStack()
        """What ends with the tools."""

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Return what a tool answers, as JSON has it.

        Raises ToolError, in words for the agent, when the tool refuses the call; ToolCrash when it is the tool's fault.
        """
        reply = self._ask({"name": name, "arguments": dict(arguments)})
        if "raised" not in reply:
            return reply["result"]
        if reply["raised"] != DELIBERATE and self._is_sound(name, arguments):
            raise ToolCrash(f"tool {name!r} raised {reply['raised']} on arguments that are all right: {reply['text']}")
        raise ToolError(reply["text"] or reply["raised"])

    def close(self) -> None:
        """End the tools and remove what they wrote."""
        self.resources.close()

    def greet(self) -> None:
        """Wait until the tools are imported; raises ToolCrash when they cannot be."""
        reply = self._ask({"name": None, "arguments": {}})
        if "broken" in reply:
            raise ToolCrash(
                f"tools.py of {self._tools.folder_name!r} cannot be used: {reply['broken']}; install what it imports "
                "beside turnwright, or describe the tools under 'lookups' in metadata.json"
            )

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return json.loads(self._conversation.ask(json.dumps(request)))
        except ProgramEndedError as ended:
            raise ToolCrash(f"the tools of {self._tools.folder_name!r} ended: {ended}") from ended
        except (SandboxError, ValueError) as broken:
            raise ToolCrash(f"the tools of {self._tools.folder_name!r} cannot be reached: {broken}") from broken

    def _is_sound(self, name: str, arguments: Mapping[str, Any]) -> bool:
        spec = self._tools.specs[name]
        if argument_problems(Tool(spec=spec, function=lambda: None), arguments):
            return False
        return all(
            value in self._tools.known[key]
            for key, value in arguments.items()
            if isinstance(value, str) and key in self._tools.known
        )
