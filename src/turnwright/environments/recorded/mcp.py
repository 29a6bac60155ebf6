"""The tools of an MCP server as a source of recordings. Needs the extra ``turnwright[mcp]``.

async with open_mcp_server(["python", "server.py"]) as source, ...   a command, spoken to over its pipes
async with open_mcp_server("https://tools.example.com/mcp") as ...   a URL, spoken to over HTTP
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from turnwright.core.errors import ConfigError, DatasetError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.environments.imported.mcp_connection import import_mcp, list_tools, text_of


class McpTools:
    """The tools a server lists, asked through an open connection."""

    def __init__(self, client: Any, specs: Sequence[ToolSpec]) -> None:
        """Use ``open_mcp_server``."""
        self._client = client
        self._specs = tuple(specs)

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """What the policy is told about the tools, as the server describes them."""
        return self._specs

    async def answer(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool and return the text of its answer; what the server marks as an error is a ToolError.

        Raises DatasetError for an answer with an image or anything else that is no text.
        """
        result = await self._client.call_tool(tool, dict(arguments))
        text, others = text_of(result)
        if others:
            raise DatasetError(
                f"tool {tool!r} answers with {', '.join(others)}: recordings hold text only; leave the tool out"
            )
        if result.is_error:
            raise ToolError(text)
        return text


@asynccontextmanager
async def open_mcp_server(server: str | Sequence[str], tools: Sequence[str] = ()) -> AsyncGenerator[McpTools]:
    """Connect to a server for as long as the block lasts; a server started by its command ends with it.

    Args:
        server: URL, or the command that starts it.
        tools: Names of the tools to offer, in this order; empty = all that the server lists.

    Raises:
        ConfigError: the package ``mcp`` is not installed, or the server has no such tool.
    """
    mcp = import_mcp()
    place = server
    if not isinstance(server, str):
        command, *arguments = server
        place = mcp.StdioServerParameters(command=command, args=arguments)
    failure: Exception | None = None
    async with mcp.Client(place) as client:
        try:
            listed = {spec.name: spec for spec in await list_tools(client)}
            unknown = [name for name in tools if name not in listed]
            if unknown:
                raise ConfigError(
                    f"the MCP server {server!r} has no tool {unknown[0]!r}; it has: {', '.join(listed) or 'none'}"
                )
            yield McpTools(client, [listed[name] for name in tools or listed])
        except Exception as error:
            # Raised again once the connection is closed: the client's task groups would wrap it.
            failure = error
    if failure is not None:
        raise failure
