"""OpenApiEnvironment: tools that are requests to a live HTTP API, described by an OpenAPI document.

    call of the policy --arguments--> request, with secret headers --2xx--> text of the body
                                                                   --404, 422, ...--> error for the policy to read
                                                                   --401, 429, 5xx, nothing--> ToolCrash with status

A live API is neither fast nor still: record what can be recorded, and train on that::

    with ApiClient(api) as source, Recorder(Path("recordings.jsonl"), source) as recorder:
        asyncio.run(recorder.record("getOrder", {"order": "O3"}))
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import httpx2

from turnwright.core.errors import ConfigError, EnvironmentLoadError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.core.task import Task
from turnwright.environments.base import Environment, ToolCrash
from turnwright.environments.imported.openapi_document import OpenApi
from turnwright.environments.recorded.sources import OF_THE_CALLER
from turnwright.environments.tools import Tool, tools_of

TEXT_TYPES = ("text/", "json", "xml", "yaml", "javascript", "x-www-form-urlencoded")
SHORTEST_SECRET = 6
"""Letters; what is shorter than that would also be taken out where it means something else."""


class ApiClient:
    """Asks the operations of an API; a context manager that closes its connections, and a source for a recorder.

    Credentials come from environment variables, are part of no tool, and are taken out of every answer and error.
    """

    def __init__(
        self,
        api: OpenApi,
        *,
        headers: Mapping[str, str] | None = None,
        secret_headers: Mapping[str, str] | None = None,
        secret_query: Mapping[str, str] | None = None,
        request_seconds: float = 20.0,
        max_answer_bytes: int = 50_000,
    ) -> None:
        """Open a client; nothing is sent yet.

        Args:
            api: The operations.
            headers: Headers of every request that are not secret.
            secret_headers: Environment variables that hold the values of headers, by header.
            secret_query: The same for parameters of the query.
            request_seconds: Longest time to connect, and between two pieces of an answer.
            max_answer_bytes: Where an answer is cut, with a line that says so.

        Raises:
            ConfigError: an environment variable is not set.
        """
        self.api = api
        hidden = {name: _secret(variable) for name, variable in (secret_headers or {}).items()}
        query = {name: _secret(variable) for name, variable in (secret_query or {}).items()}
        parts = {part for value in (*hidden.values(), *query.values()) for part in (value, value.split()[-1])}
        self._secrets = sorted((part for part in parts if len(part) >= SHORTEST_SECRET), key=len, reverse=True)
        self._max_answer_bytes = max_answer_bytes
        self._client = httpx2.Client(
            base_url=api.base_url, headers={**(headers or {}), **hidden}, params=query, timeout=request_seconds
        )

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the policy is told about the operations."""
        return tuple(operation.spec for operation in self.api.operations.values())

    async def answer(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Ask from an event loop, as a recorder does."""
        return await asyncio.to_thread(self.ask, tool, arguments)

    def ask(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Send the request of a tool and return the text of its answer.

        Raises:
            ToolError: the server refuses what was asked, or answers with what is no text.
            ToolCrash: it refuses the credentials, is busy, breaks, redirects or cannot be reached.
        """
        operation = self.api.operations[tool]
        try:
            response = self._client.send(operation.request(self._client, arguments), stream=True)
            try:
                text = self._text(response)
            finally:
                response.close()
        except httpx2.TimeoutException as error:
            raise ToolCrash(f"tool {tool!r}: no answer to {operation} in time", cause="tool_timeout") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, RuntimeError) as error:  # RuntimeError: it was closed meanwhile
            reason = self._without_secrets(f"{type(error).__name__}: {error}")
            raise ToolCrash(f"tool {tool!r}: {operation} failed: {reason}") from None
        if response.is_success:
            return text or f"HTTP {response.status_code}"
        if response.status_code in OF_THE_CALLER:
            raise ToolError(text or f"HTTP {response.status_code}")
        raise ToolCrash(f"tool {tool!r}: {operation} was answered with HTTP {response.status_code}: {text[:200]}")

    def close(self) -> None:
        """Close the connections; a request that is still under way ends."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def _text(self, response: httpx2.Response) -> str:
        kind = response.headers.get("content-type", "text/plain").lower()
        if response.is_success and not any(part in kind for part in TEXT_TYPES):
            raise ToolError(f"the answer is {kind}; only text can be shown here")
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > self._max_answer_bytes:
                break
        text = self._without_secrets(body.decode(response.charset_encoding or "utf-8", "replace"))
        if len(body) <= self._max_answer_bytes:
            return text
        kept = text.encode()[: self._max_answer_bytes].decode(errors="ignore")
        return f"{kept}\n[cut after {self._max_answer_bytes} bytes]"

    def _without_secrets(self, text: str) -> str:
        """Take secrets out of a text: some servers repeat the request they refuse."""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text


class OpenApiEnvironment(Environment):
    """Base of environments whose tools are operations of an HTTP API; ``@tool`` methods are offered beside them.

    Each episode has a client of its own, so that the cookies of one are no business of another.

    Example::

        class Shop(OpenApiEnvironment):
            api = read_openapi(Path(__file__).with_name("openapi.json"), tags=["orders"])
            secret_headers = {"Authorization": "SHOP_AUTHORIZATION"}
            def tasks(self, split): ...
            def reward(self, episode): ...
    """

    api: OpenApi
    secret_headers: Mapping[str, str] = {}
    """Environment variables that hold the values of request headers, by header."""
    secret_query: Mapping[str, str] = {}
    """The same for parameters of the query; leave them out of the tools with ``read_openapi(..., hidden=[...])``."""
    request_seconds: float = 20.0
    """Longest time to connect, and between two pieces of an answer."""
    max_answer_bytes: int = 50_000
    """Where an answer is cut."""

    _client: ApiClient | None = None

    def request_headers(self) -> Mapping[str, str]:
        """Return headers of this episode's requests, such as the tenant that ``self.seed`` names; none is secret."""
        return {}

    def tools(self) -> Mapping[str, Tool]:
        """Return the operations, then the ``@tool`` methods."""
        written = tools_of(type(self))
        if both := self.api.operations.keys() & written.keys():
            raise EnvironmentLoadError(
                f"{type(self).__name__} has a @tool method {min(both)!r}, and its API an operation of that name: "
                "rename one"
            )
        asked = {
            name: Tool(spec=operation.spec, function=partial(_ask, name))
            for name, operation in self.api.operations.items()
        }
        return {**asked, **written}

    def open(self, task: Task, seed: int) -> None:
        """Open a client; raises ConfigError when a variable with a secret is not set."""
        self.close()
        super().open(task, seed)
        self._client = ApiClient(
            self.api,
            headers=self.request_headers(),
            secret_headers=self.secret_headers,
            secret_query=self.secret_query,
            request_seconds=self.request_seconds,
            max_answer_bytes=self.max_answer_bytes,
        )

    def close(self) -> None:
        """Close the client."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def ask(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Ask the operation of a tool; raises what ``ApiClient.ask`` does."""
        if self._client is None:
            raise ToolCrash(f"tool {name!r} is called while no episode is open")
        return self._client.ask(name, arguments)


def _ask(name: str, environment: OpenApiEnvironment, /, **arguments: Any) -> str:
    return environment.ask(name, arguments)


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(f"the environment variable {variable!r} is not set: it holds a credential of the API")
    return value
