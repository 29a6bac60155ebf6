"""An MCP server over standard input and output, in as little Python as it takes: one is started for each episode.

It speaks JSON-RPC by hand, so that it is there in a twentieth of a second.
"""

import json
import sys
from typing import Any

TOOL = {
    "name": "get_order",
    "description": "Look up one order.",
    "inputSchema": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
}


def main() -> None:
    """Answer line by line until the client goes away."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            answer = {"jsonrpc": "2.0", "id": message["id"], **_answer(message["method"], message.get("params") or {})}
            print(json.dumps(answer), flush=True)


def _answer(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            return {
                "result": {
                    "protocolVersion": parameters["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "orders", "version": "1"},
                }
            }
        case "tools/list":
            return {"result": {"tools": [TOOL]}}
        case "tools/call":
            order = parameters.get("arguments", {}).get("order", "")
            window = "late" if order[-1:] in "13579" else "open"
            return {"result": {"content": [{"type": "text", "text": json.dumps({"window": window})}]}}
        case "ping":
            return {"result": {}}
    return {"error": {"code": -32601, "message": f"no method {method}"}}


if __name__ == "__main__":
    main()
