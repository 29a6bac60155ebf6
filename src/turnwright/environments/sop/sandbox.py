"""The checkout's own tools.py, run in a sandbox: a process of its own per episode, started by its first call.

    call --line of JSON--> worker in the sandbox --fork per episode--> process_tool_call --> an answer | what it raised

A worker that has imported the tools serves one episode after another, and waits in between to be used again.

A tool refuses arguments by raising, so what it raises is an answer for the agent. It counts as a broken tool where the
arguments cannot be the reason: they fit the schema, name ids of the table, and the error is no ``ValueError``.
"""

import json
import threading
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from typing import Any

from turnwright.core.errors import EnvironmentLoadError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.environments.base import ToolCrash
from turnwright.environments.sop.folder import SopFolder
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
PRISTINE, INSIDE = "pristine", "domain"
"""Folders of the workspace: the domain's files, and the copy of them that an episode's tools live in and may change."""
COPIES = 4
"""Times the size of the folder that a workspace may hold."""
EPISODES = 200
"""Episodes after which a program is replaced: its limits on time and output hold for all of them together."""
DELIBERATE = "ValueError"
"""What the benchmark's tools raise to refuse a call."""
LIMITS = SandboxLimits(
    memory_bytes=1024 * MEBIBYTE,
    processes=64,
    cpu_seconds=600.0,
    wall_seconds=60.0,
    output_bytes=64 * MEBIBYTE,
    disk_bytes=256 * MEBIBYTE,
)
"""Limits of a program: tools that read a table with a data frame library take a second and 200 MB to start."""


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
        self._sop_folder, self._folder = folder, folder.path
        self._lock, self._idle = threading.Lock(), list[Program]()
        weakref.finalize(self, _close_all, self._idle)
        self._name, self._unsafe_local = sandbox, unsafe_local
        self.specs: Mapping[str, ToolSpec] = {spec.name: spec for spec in folder.tools}
        rows = [row for some in folder.rows.values() for row in some]
        self.known = {column: frozenset(row[column] for row in rows) for column in folder.columns}
        """Values of each column: an argument of that name with another value is the agent's mistake."""

    @cached_property
    def sandbox(self) -> Sandbox:
        """The sandbox, found when it is first needed; raises SandboxError where there is none."""
        return open_sandbox(self._name, unsafe_local=self._unsafe_local)

    def anew(self) -> "SandboxedTools":
        """Return the same tools, in programs of their own."""
        return SandboxedTools(self._sop_folder, sandbox=self._name, unsafe_local=self._unsafe_local)

    def start(self) -> "ToolsProcess":
        """Begin an episode; raises SandboxError, or ToolCrash when tools.py cannot be used."""
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            try:
                return self._begun(idle)
            except ToolCrash:
                # It ended while it waited, as when the thread that launched it is gone: another one is as good.
                pass
        return self._begun(self._launch())

    def _begun(self, program: "Program") -> "ToolsProcess":
        process = ToolsProcess(self, program)
        try:
            process.begin()
        except BaseException:
            program.resources.close()
            raise
        return process

    def give_back(self, program: "Program") -> None:
        """Keep a program that has ended its episode for the next one, unless it has served enough."""
        if program.episodes < EPISODES:
            with self._lock:
                self._idle.append(program)
        else:
            program.resources.close()

    def _launch(self) -> "Program":
        found = sorted(self._folder.rglob("*"))
        domain = [file for file in found if file.is_file() and "__pycache__" not in file.parts]
        # There are two copies of the folder, and tools may write as much again.
        needed = COPIES * sum(file.stat().st_size for file in domain)
        limits = replace(LIMITS, disk_bytes=max(LIMITS.disk_bytes, needed))
        with ExitStack() as stack:
            workspace = stack.enter_context(self.sandbox.workspace(limits))
            for file in domain:
                workspace.write(f"{PRISTINE}/{file.relative_to(self._folder).as_posix()}", file.read_bytes())
            workspace.write(WORKER, files("turnwright.environments.sop").joinpath("worker.py").read_bytes())
            conversation = stack.enter_context(workspace.converse(["python3", WORKER, PRISTINE, INSIDE]))
            return Program(conversation=conversation, resources=stack.pop_all())


@dataclass(slots=True, kw_only=True)
class Program:
    """A worker that has imported the tools."""

    conversation: Conversation
    resources: ExitStack
    """What ends with it."""
    episodes: int = 0
    """Episodes it has begun."""


def _close_all(idle: list[Program]) -> None:
    for program in idle:
        program.resources.close()
    idle.clear()


class ToolsProcess:
    """The tools of one episode, running."""

    def __init__(self, tools: SandboxedTools, program: Program) -> None:
        """Take the program that serves the episode."""
        self._tools, self.program = tools, program
        self._asking = False

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

    def begin(self) -> None:
        """Begin the episode; raises ToolCrash when the tools cannot be imported."""
        reply = self._ask({"begin": True})
        if "broken" in reply:
            raise ToolCrash(
                f"tools.py of {self._tools.folder_name!r} cannot be used: {reply['broken']}; install what it imports "
                "beside turnwright, or describe the tools under 'lookups' in metadata.json"
            )
        self.program.episodes += 1

    def close(self) -> None:
        """End the episode; a program that still answers, or has ended, ends for good."""
        if not self._asking and self._ended():
            self._tools.give_back(self.program)
        else:
            self.program.resources.close()

    def _ended(self) -> bool:
        try:
            return "ended" in self._ask({"end": True})
        except ToolCrash:
            return False

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._asking = True
        try:
            reply = self.program.conversation.ask(json.dumps(request))
        except ProgramEndedError as ended:
            raise ToolCrash(f"the tools of {self._tools.folder_name!r} ended: {ended}") from ended
        except SandboxError as broken:
            raise ToolCrash(f"the tools of {self._tools.folder_name!r} cannot be reached: {broken}") from broken
        self._asking = False
        return json.loads(reply)

    def _is_sound(self, name: str, arguments: Mapping[str, Any]) -> bool:
        spec = self._tools.specs[name]
        if argument_problems(Tool(spec=spec, function=lambda: None), arguments):
            return False
        return all(
            value in self._tools.known[key]
            for key, value in arguments.items()
            if isinstance(value, str) and key in self._tools.known
        )
