"""McpEnvironment: tools that an MCP server answers, one server for each episode. Needs the extra ``turnwright[mcp]``.

    load:     the server is started once --tools/list--> what the policy is told, schemas verbatim
    episode:  the first call --starts it, with seed and task--> calls --> close --ends it, with its processes

What the server marks as an error is read by the policy; a server that ends, stalls or breaks the protocol fails the
episode as infrastructure.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from turnwright.core.errors import ConfigError, EnvironmentLoadError
from turnwright.core.message import ToolSpec
from turnwright.core.task import Split, Task
from turnwright.environments.base import ToolCrash
from turnwright.environments.imported.mcp_connection import McpConnection, McpPlace
from turnwright.environments.imported.mcp_processes import end_orphans
from turnwright.environments.imported.policy_names import chosen, policy_names
from turnwright.environments.resources.base import Resource
from turnwright.environments.stateful import StatefulEnvironment
from turnwright.environments.tools import Tool, tools_of

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Variables = Callable[[Task, int], Mapping[str, str]]


class McpServer(Resource[McpConnection]):
    """A server for each episode: a process of its own, or a session of its own with a server that runs anyway.

    Example::

        McpServer(["python", "server.py", "--seed", "{seed}"], folder=Path(__file__).parent)
        McpServer("https://desk.example.com/mcp", secret_headers={"Authorization": "DESK_AUTHORIZATION"})
    """

    waits = True

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        variables: Variables = lambda task, seed: {},
        inherited: Sequence[str] = (),
        secret_headers: Mapping[str, str] | None = None,
        folder: Path | None = None,
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        start_seconds: float = 30.0,
    ) -> None:
        """Name a server; nothing is started yet.

        Args:
            server: The command that starts it, or its URL; ``{seed}`` and ``{task_id}`` stand for the episode's.
            variables: Environment variables that a process gets for a task and seed; TURNWRIGHT_SEED and
                TURNWRIGHT_TASK_ID are always among them.
            inherited: Variables of this process that the server gets, besides PATH, HOME and the like.
            secret_headers: For a URL: environment variables that hold the values of request headers, by header.
            folder: Working directory of the process.
            allow: Tools to offer, in this order; empty = all.
            deny: Tools to leave out.
            rename: What the policy calls a tool, by the server's name; a name that the policy's dialect cannot carry
                is mapped anyway.
            start_seconds: Longest time until it has listed its tools.
        """
        self._server = server if isinstance(server, str) else tuple(server)
        self._variables = variables
        self._inherited = tuple(inherited)
        self._secret_headers = dict(secret_headers or {})
        self._folder = folder
        self._allow, self._deny, self._rename = tuple(allow), tuple(deny), dict(rename or {})
        self._start_seconds = start_seconds
        self._listing = threading.Lock()
        self._offered: Mapping[str, ToolSpec] | None = None

    def offered(self, task: Task) -> Mapping[str, ToolSpec]:
        """Return the server's tools by the policy's names; the first time a server is started to ask it.

        Args:
            task: What that server is told; an episode's must list the same tools.

        Raises:
            EnvironmentLoadError: a tool that is allowed, denied or renamed does not exist, or two have one name.
            ToolCrash: the server cannot be asked.
        """
        with self._listing:
            if self._offered is None:
                connection = McpConnection(self._place(task, 0), start_seconds=self._start_seconds)
                try:
                    self._offered = self._select(connection.open())
                finally:
                    connection.close()
            return self._offered

    @contextmanager
    def opened(self, task: Task, seed: int) -> Iterator[McpConnection]:
        """Hold a connection until the episode ends; the server is started when a tool is called first."""
        place = self._place(task, seed)

        def accept(specs: Sequence[ToolSpec]) -> None:
            now, then = self._select(specs), self.offered(task)
            changed = [name for name in {**then, **now} if now.get(name) != then.get(name)]
            if changed:
                raise ToolCrash(
                    f"{place} lists {changed[0]!r} otherwise than when it was loaded: the policy is told about the "
                    "tools once; let the server list the same tools for every task and seed"
                )

        connection = McpConnection(place, start_seconds=self._start_seconds, accept=accept)
        try:
            yield connection
        finally:
            connection.close()

    def sweep_leftovers(self) -> tuple[str, ...]:
        """End the servers of processes that are gone; return the ids of what was ended."""
        return tuple(f"process {pid}" for pid in end_orphans())

    def _select(self, specs: Sequence[ToolSpec]) -> Mapping[str, ToolSpec]:
        by_name = {spec.name: spec for spec in specs}
        where = f"the MCP server {self._server!r}"
        names = chosen(by_name, allow=self._allow, deny=self._deny, rename=self._rename, where=where)
        return {told: by_name[name] for told, name in policy_names(names, self._rename, where).items()}

    def _place(self, task: Task, seed: int) -> McpPlace:
        if isinstance(self._server, str):
            headers = {header: _variable(name) for header, name in self._secret_headers.items()}
            filled = self._server.replace("{seed}", str(seed)).replace("{task_id}", quote(task.id, safe=""))
            return McpPlace(url=filled, headers=headers)
        variables = {name: os.environ[name] for name in self._inherited if name in os.environ}
        return McpPlace(
            command=tuple(part.replace("{seed}", str(seed)).replace("{task_id}", task.id) for part in self._server),
            variables={
                **variables,
                "TURNWRIGHT_SEED": str(seed),
                "TURNWRIGHT_TASK_ID": task.id,
                **self._variables(task, seed),
            },
            folder=self._folder,
        )


class McpEnvironment(StatefulEnvironment):
    """Base of environments whose tools are those of their ``McpServer`` resources; write tasks and reward.

    ``@tool`` methods are offered beside them, and other resources may stand beside the servers. A method reaches a
    server's tools by ``await self.resource("desk").call(name, arguments)``.

    Example::

        class Desk(McpEnvironment):
            resources = {"desk": McpServer([sys.executable, "server.py"], folder=Path(__file__).parent)}
            def tasks(self, split): ...
            def reward(self, episode): ...
    """

    _offered_tools: Mapping[str, Tool] | None = None

    def tools(self) -> Mapping[str, Tool]:
        """Return the tools of the servers, in the order of these, then the ``@tool`` methods.

        Raises EnvironmentLoadError when two of them have one name.
        """
        if self._offered_tools is None:
            self._offered_tools = self._all_tools()
        return self._offered_tools

    def _all_tools(self) -> Mapping[str, Tool]:
        found: dict[str, Tool] = {}
        owners: dict[str, str] = {}
        for resource, server in self.resources.items():
            if isinstance(server, McpServer):
                for told, spec in server.offered(self._some_task()).items():
                    self._claim(told, f"server {resource!r}", owners)
                    told_spec = ToolSpec(name=told, description=spec.description, parameters=spec.parameters)
                    found[told] = Tool(spec=told_spec, function=partial(_ask, resource, spec.name))
        for name, written in tools_of(type(self)).items():
            self._claim(name, "a @tool method", owners)
            found[name] = written
        return found

    def _claim(self, name: str, owner: str, owners: dict[str, str]) -> None:
        if name in owners:
            raise EnvironmentLoadError(
                f"{type(self).__name__}: {owners[name]} and {owner} both have a tool {name!r}; rename or deny one"
            )
        owners[name] = owner

    def _some_task(self) -> Task:
        """Return a task to ask a server about its tools with."""
        tasks = (task for split in SPLITS for task in self.tasks(split))
        return next(tasks, Task(id="none", prompt=""))


async def _ask(resource: str, name: str, environment: McpEnvironment, /, **arguments: Any) -> str:
    return await environment.resource(resource).call(name, arguments)


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"the environment variable {name!r} is not set: it holds the value of a request header")
    return value
