"""An MCP server as one finds them: two tools over a library that a seed fills. It knows nothing of Turnwright."""

import os
import random

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

SHELVES = ("north", "south", "east", "west")
server = MCPServer("library")
chance = random.Random(int(os.environ["LIBRARY_SEED"]))
shelf_of = {f"B{number}": chance.choice(SHELVES) for number in range(8)}
lent: set[str] = set()


@server.tool(name="library/find")
def find(book: str) -> str:
    """Tell the shelf of a book."""
    if book not in shelf_of:
        raise ToolError(f"no book {book}")
    return shelf_of[book]


@server.tool(name="library/lend")
def lend(book: str, shelf: str) -> str:
    """Take a book from its shelf and lend it; each book can be lent once."""
    if shelf_of.get(book) != shelf:
        raise ToolError(f"{book} is not on the {shelf} shelf")
    if book in lent:
        raise ToolError(f"{book} is lent already")
    lent.add(book)
    return f"receipt {len(lent)}: {book} from the {shelf} shelf"


@server.tool(name="library/burn")
def burn() -> str:
    """Burn the library down."""
    os._exit(1)


if __name__ == "__main__":
    server.run()
