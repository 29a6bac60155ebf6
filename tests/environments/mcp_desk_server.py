"""An MCP server with state and with faults, run as a process of its own for each episode by test_tools_mcp.py."""

import os
import signal
import subprocess
import sys
import time

from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("desk")
tickets = {1: "open", 2: "open"}


@server.tool(name="desk/tickets.close")
def close_ticket(ticket: int, note: str | None = None) -> str:
    """Close a ticket."""
    if ticket not in tickets:
        raise ToolError(f"no ticket {ticket}")
    tickets[ticket] = "closed"
    return f"closed {ticket}, {sum(state == 'open' for state in tickets.values())} left"


@server.tool(structured_output=True)
def who() -> dict[str, str]:
    """Tell which episode this server is for."""
    names = ("TURNWRIGHT_SEED", "TURNWRIGHT_TASK_ID", "DESK_LEVEL", "DESK_KEY", "OTHER_KEY")
    found = {name: os.environ.get(name, "") for name in names}
    return {**found, "arguments": " ".join(sys.argv[1:]), "pid": str(os.getpid())}


@server.tool()
def photo() -> Image:
    """Return a photo."""
    return Image(data=b"\x89PNG", format="png")


@server.tool()
def die() -> str:
    """End the process in the middle of a call."""
    os.write(2, b"the disk is on fire\n")
    os._exit(3)


@server.tool()
def babble() -> str:
    """Write something that is no protocol, and end."""
    os.write(1, b"Segmentation fault\n")
    os._exit(0)


@server.tool()
def stall() -> str:
    """Answer after everybody has lost patience."""
    time.sleep(60)
    return "late"


@server.tool()
async def linger() -> str:
    """Start a child that outlives its parent, and take no end from here on."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    return str(child.pid)


if __name__ == "__main__":
    if "--silent" in sys.argv:
        time.sleep(60)
    if "--broken" in sys.argv:
        sys.exit("no licence for this host")
    if "--other" in sys.argv and os.environ["TURNWRIGHT_TASK_ID"] == "odd":

        @server.tool()
        def extra() -> str:
            """Exist for one task alone."""
            return ""

    server.run()
