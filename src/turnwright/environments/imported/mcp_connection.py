"""McpConnection: the connection of one episode to an MCP server, held by a thread. Needs the extra ``turnwright[mcp]``.

    call  (any event loop)  --the first one starts--> thread: event loop, client --> process, or HTTP session
                            --hands over--> thread --> text, ToolError, or ToolCrash
    close (any thread)      --ends--> client and process; returns when they are gone

The client belongs to the event loop that opened it, while plain functions open and close an episode: hence the thread.
"""

import asyncio
import importlib
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO, cast

import httpx2

from turnwright.core.errors import ConfigError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.environments.base import ToolCrash
from turnwright.environments.imported.mcp_processes import MARK, end_marked, new_mark
from turnwright.environments.resources.base import ResourceClosedError

LAST_WORDS = 400
"""Letters of a server's error output that an error quotes."""
CLOSING_SECONDS = 15.0
"""More than the client takes to end a process that does not want to: it asks, terminates and kills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpPlace:
    """Where a server is: a command to start, or a URL."""

    command: tuple[str, ...] = ()
    url: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment variables of the process, besides PATH, HOME and the like."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers of every request to the URL."""
    folder: Path | None = None
    """Working directory of the process."""

    def __str__(self) -> str:
        """Return the place as errors spell it, without variables and headers, which may be secret."""
        return f"MCP server {self.url or ' '.join(self.command)!r}"


class McpConnection:
    """Connects at the first call, so that an episode without calls costs nothing; whoever makes one closes it."""

    def __init__(
        self,
        place: McpPlace,
        *,
        start_seconds: float,
        accept: Callable[[Sequence[ToolSpec]], None] = lambda specs: None,
    ) -> None:
        """Name the server; nothing is started yet.

        Args:
            place: Where it is.
            start_seconds: Longest time until it has listed its tools.
            accept: Called with these; raises ToolCrash when they are not the right ones.

        Raises:
            ConfigError: the package ``mcp`` is not installed.
        """
        self._mcp = import_mcp()
        self._mark = new_mark()
        self._place = replace(place, variables={**place.variables, MARK: self._mark})
        self._start_seconds = start_seconds
        self._accept = accept
        self._opening = threading.Lock()
        self._ready: Future[tuple[ToolSpec, ...]] = Future()
        self._closed = False
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="mcp-connection", daemon=True)
        self._errors: TextIO | None = None

    def open(self) -> tuple[ToolSpec, ...]:
        """Start the server or connect to it, unless that is done, and return the tools it lists, in all their pages.

        Raises:
            ToolCrash: the server did not start, spoke something else, or took too long.
            ResourceClosedError: the connection is closed.
        """
        with self._opening:
            if self._closed:
                raise ResourceClosedError(f"the {self._place} is called after its episode ended")
            if not self._ready.done():
                # Closed by ``close``; the process writes into a descriptor of its own.
                self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
                self._thread.start()
        try:
            specs = self._ready.result(self._start_seconds)
            self._accept(specs)
        except BaseException as failure:
            words, late = self._last_words(), not self._ready.done()
            self.close()
            if isinstance(failure, ToolCrash):
                raise
            if isinstance(failure, TimeoutError) and late:
                raise ToolCrash(
                    f"{self._place} was not ready within {self._start_seconds} s{words}", cause="tool_timeout"
                ) from failure
            if isinstance(failure, Exception):
                raise ToolCrash(f"{self._place} could not be opened: {_told(failure)}{words}") from failure
            raise
        return specs

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool by the server's name and return the text of its answer.

        Raises:
            ToolError: the server marks the answer as an error, or it is no text.
            ToolCrash: the server did not start, ended, or broke the protocol.
            ResourceClosedError: the episode has ended.
        """
        if self._client is None or self._closed:
            await asyncio.to_thread(self.open)
        loop, client = self._loop, self._client
        assert loop is not None
        assert client is not None
        asking = client.call_tool(tool, dict(arguments))
        try:
            waiting = asyncio.run_coroutine_threadsafe(asking, loop)
        except RuntimeError:  # the loop is closed: the connection broke, and its thread ended
            asking.close()
            raise self._broken(tool, "the connection is closed") from None
        try:
            result = await asyncio.wrap_future(waiting)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if waiting.cancelled() and not (task and task.cancelling()):
                raise self._broken(tool, "the connection was closed meanwhile") from None
            raise
        except self._mcp.MCPError as error:
            if error.code == self._mcp.types.INVALID_PARAMS:
                raise ToolError(str(error)) from None
            raise self._broken(tool, f"{error} (code {error.code})") from error
        text, others = text_of(result)
        if others:
            raise ToolError(f"{tool} answered with {', '.join(others)}; only text can be shown here")
        if result.is_error:
            raise ToolError(text)
        return text

    def close(self) -> None:
        """End the client, and the process with all its children; the second time it does nothing."""
        with self._opening:
            self._closed = True
            errors, self._errors = self._errors, None
        if errors is None:
            return
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._end)
        self._thread.join(CLOSING_SECONDS)
        if self._place.command:
            end_marked(self._mark)
        errors.close()

    def _end(self) -> None:
        if self._client is not None:
            self._leave.set()
        elif self._main is not None:
            self._main.cancel()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # it is told to whoever waits; a later one is seen by the calls it breaks
            if not self._ready.done():
                self._ready.set_exception(_innermost(failure))

    async def _serve(self) -> None:
        self._main = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        errors = self._errors
        if self._closed or errors is None:
            return
        async with connected(self._place, errors) as client:
            specs = tuple(await list_tools(client))
            self._client = client
            self._ready.set_result(specs)
            await self._leave.wait()

    def _broken(self, tool: str, what: str) -> ToolCrash:
        return ToolCrash(f"tool {tool!r} of the {self._place} broke: {what}{self._last_words()}")

    def _last_words(self) -> str:
        errors = self._errors
        if errors is None or errors.closed:
            return ""
        errors.seek(0)
        words = errors.read().strip()[-LAST_WORDS:]
        return f"; its last words: {words}" if words else ""


@asynccontextmanager
async def connected(place: McpPlace, errors: TextIO) -> AsyncIterator[Any]:
    """Connect to a server for as long as the block lasts; a process ends with it."""
    mcp = import_mcp()
    if place.command:
        program, *arguments = place.command
        parameters = mcp.StdioServerParameters(
            command=program, args=arguments, env=dict(place.variables), cwd=place.folder
        )
        transport = importlib.import_module("mcp.client.stdio").stdio_client(parameters, errlog=errors)
        async with mcp.Client(transport) as client:
            yield client
        return
    streams = importlib.import_module("mcp.client.streamable_http")
    async with httpx2.AsyncClient(headers=dict(place.headers), timeout=httpx2.Timeout(30, read=300)) as http:
        transport: AbstractAsyncContextManager[Any] = streams.streamable_http_client(place.url, http_client=http)
        # The newest protocol has no sessions over HTTP, and the state of an episode is its session's.
        async with mcp.Client(transport, mode="legacy") as client:
            yield client


async def list_tools(client: Any) -> list[ToolSpec]:
    """Return the tools of an open client, every page of them."""
    specs: list[ToolSpec] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        specs += [
            ToolSpec(name=tool.name, description=tool.description or "", parameters=tool.input_schema)
            for tool in page.tools
        ]
        cursor = page.next_cursor
        if not cursor:
            return specs


def text_of(result: Any) -> tuple[str, Sequence[str]]:
    """Return the text of a call's result, and the kinds of content that are none, such as image.

    Structured content is told as JSON where the server does not spell it as text itself.
    """
    texts: list[str] = []
    others: set[str] = set()
    for block in result.content:
        text = block.text if block.type == "text" else getattr(getattr(block, "resource", None), "text", None)
        if text is None:
            others.add(block.type)
        else:
            texts.append(text)
    if not result.content and result.structured_content is not None:
        texts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return "\n".join(texts), sorted(others)


def import_mcp() -> Any:
    """Return the package ``mcp``; raises ConfigError when it is not installed."""
    try:
        return importlib.import_module("mcp")
    except ModuleNotFoundError as error:
        raise ConfigError("an MCP server needs a client to speak to it: pip install 'turnwright[mcp]'") from error


def _innermost(failure: BaseException) -> BaseException:
    """Return the one error that task groups have wrapped."""
    while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
        failure = cast("BaseException", failure.exceptions[0])
    return failure


def _told(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
