"""What every program here is told on standard input, and what it prints: the work around the framework it shows.

{"request": a rollout request, "world": {"system", "tools", "answers"}}  ->  [{"content", "tool_calls"}, ...]
"""

import json
import os
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any

MAX_TURNS = 8

_given = json.load(sys.stdin)
request: dict[str, Any] = _given["request"]
metadata: dict[str, Any] = request["metadata"]
endpoint: str = metadata.get("endpoint") or os.environ["RFT_RUNTIME_ENDPOINT"]
prompt: str = request["prompt"]
system: str = _given["world"]["system"]
tools: list[dict[str, Any]] = _given["world"]["tools"]
"""Name, description and parameters of each, in no vendor's spelling."""
_answers: dict[str, str] = _given["world"]["answers"]
_seen: list[dict[str, Any]] = []


def answer(name: str, arguments: dict[str, Any]) -> str:
    """Return what a tool answers."""
    unknown = json.dumps({"error": f"nothing is known of {name} {json.dumps(arguments)}"})
    return _answers.get(f"{name} {json.dumps(arguments, sort_keys=True)}", unknown)


def get_order(order: str) -> str:
    """Look up one order."""
    return answer("get_order", {"order": order})


def get_customer(customer: str) -> str:
    """Look up one customer."""
    return answer("get_customer", {"customer": customer})


def get_item(item: str) -> str:
    """Look up one item."""
    return answer("get_item", {"item": item})


def saw(content: str | None, calls: Sequence[tuple[str, dict[str, Any]]] = ()) -> None:
    """Note a reply as the framework showed it."""
    tool_calls = [{"name": name, "arguments": arguments} for name, arguments in calls]
    _seen.append({"content": content or "", "tool_calls": tool_calls})


def tell() -> None:
    """Print what was seen."""
    sys.stdout.write(json.dumps(_seen) + "\n")


def report(reward: float) -> None:
    """Seal and reward the trajectory by plain HTTP, for programs whose framework knows nothing of rewards."""
    trajectory_id = metadata["trajectory_id"]
    _post("/complete-rollout", {"TrajectoryId": trajectory_id})
    _post("/update-reward", {"TrajectoryId": trajectory_id, "Rewards": [reward]})
    tell()


def _post(path: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {metadata['api_key']}", "Content-Type": "application/json"}
    call = urllib.request.Request(endpoint + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(call, timeout=60) as response:
        response.read()
