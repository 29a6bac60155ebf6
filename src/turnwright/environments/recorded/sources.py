"""Sources: live tools a recorder asks - Python functions or an HTTP API. ``mcp.py`` has MCP servers.

A source answers with text, or with ``ToolError`` where the tool itself answers the agent with an error. Anything else
that it raises is trouble on the way, not an answer, and is never recorded.
"""

import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Protocol, cast
from urllib.parse import quote

import httpx2

from turnwright.core.errors import DatasetError, EnvironmentLoadError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.environments.tools import answer_text, tool_spec

OF_THE_CALLER = frozenset({400, 404, 405, 406, 409, 410, 412, 413, 414, 416, 422})
"""Statuses that answer what was asked; every other error is about credentials, load or the server."""


class Source(Protocol):
    """Tools that are alive."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the policy is told about the tools."""
        ...

    async def answer(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Ask a tool; raises ToolError where it answers with an error."""
        ...


class Functions:
    """Plain functions, bound methods or coroutine functions; names and schemas follow from their signatures."""

    def __init__(self, *functions: Callable[..., Any]) -> None:
        """Take the functions; raises EnvironmentLoadError when a signature cannot be told in JSON Schema."""
        self._functions = {function.__name__: function for function in functions}
        self._specs = tuple(function_spec(function) for function in functions)

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the policy is told about the functions."""
        return self._specs

    async def answer(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Call a function."""
        result = self._functions[tool](**arguments)
        return answer_text(await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A tool that is one request to an HTTP API.

    Example::

        Endpoint(spec=spec, request="https://api.example.com/orders/{order}")
        Endpoint(spec=spec, request=lambda client, arguments: client.build_request("POST", URL, json=dict(arguments)))
    """

    spec: ToolSpec
    request: str | Callable[[httpx2.AsyncClient, Mapping[str, Any]], httpx2.Request]
    """URL to GET, with arguments in braces and the others as its query; or what makes a request of the arguments."""

    def __post_init__(self) -> None:
        """Refuse a URL with names that the schema does not have."""
        known = self.spec.parameters.get("properties", {})
        unknown = [name for name in self.placeholders if name not in known]
        if unknown:
            raise EnvironmentLoadError(
                f"tool {self.spec.name!r}: the URL {self.request!r} names {unknown[0]!r}, which is no argument; its "
                f"arguments are: {', '.join(known) or 'none'}"
            )

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Arguments that the URL names."""
        if not isinstance(self.request, str):
            return ()
        return tuple(name for _, name, _, _ in Formatter().parse(self.request) if name is not None)

    def build(self, client: httpx2.AsyncClient, arguments: Mapping[str, Any]) -> httpx2.Request:
        """Return the request of a call; the client adds its base URL and headers."""
        if not isinstance(self.request, str):
            return self.request(client, arguments)
        in_url = self.placeholders
        missing = [name for name in in_url if arguments.get(name) is None]
        if missing:
            raise DatasetError(f"tool {self.spec.name!r}: the URL {self.request!r} needs the argument {missing[0]!r}")
        filled = self.request.format_map({name: quote(_in_url(arguments[name]), safe="") for name in in_url})
        rest = {name: value for name, value in arguments.items() if name not in in_url and value is not None}
        query = {
            name: [_in_url(one) for one in value] if isinstance(value, list) else _in_url(value)
            for name, value in rest.items()
        }
        return client.build_request("GET", httpx2.URL(filled).copy_merge_params(query))


class HttpApi:
    """Endpoints of an HTTP API, asked through a client whose credentials, base and time-outs are its owner's."""

    def __init__(self, client: httpx2.AsyncClient, endpoints: Iterable[Endpoint]) -> None:
        """Take an open client; the caller closes it."""
        self._client = client
        self._endpoints = {endpoint.spec.name: endpoint for endpoint in endpoints}

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the policy is told about the endpoints."""
        return tuple(endpoint.spec for endpoint in self._endpoints.values())

    async def answer(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Send the request and return the body.

        A status such as 404 answers the agent: ToolError with the body. Raises httpx2.HTTPStatusError for 401, 429,
        5xx and the like.
        """
        response = await self._client.send(self._endpoints[tool].build(self._client, arguments))
        if response.status_code in OF_THE_CALLER:
            raise ToolError(response.text or f"HTTP {response.status_code}")
        response.raise_for_status()
        return response.text


def function_spec(function: Callable[..., Any]) -> ToolSpec:
    """Return the spec of a plain function or bound method, as ``@tool`` derives it for a method."""

    @functools.wraps(function)
    def method() -> None:
        pass

    # The schema leaves the first parameter out: of a method it is the environment.
    environment = inspect.Parameter("__environment__", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [environment, *inspect.signature(function).parameters.values()]
    method.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return tool_spec(method)


def _in_url(value: Any) -> str:
    """Return a string verbatim and anything else as JSON spells it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
