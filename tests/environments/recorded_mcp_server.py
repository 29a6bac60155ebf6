"""An MCP server of three tools, run as a process of its own by test_recorded_mcp.py."""

from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("desk")


@server.tool()
def get_city(order: int, form: str = "short") -> str:
    """Return the city an order ships to."""
    if order > 5:
        raise ToolError(f"no order {order}")
    return "Oslo" if form == "short" else "Oslo, Norway"


@server.tool()
def get_note(order: int, page: int | None = None) -> dict[str, str]:
    """Return a note."""
    return {"note": f"K\u00f6ln {order} {page}"}


@server.tool()
def get_photo(order: int) -> Image:
    """Return a photo."""
    return Image(data=b"\x89PNG", format="png")


if __name__ == "__main__":
    server.run()
