"""The parcel desk's agent: a program of its own with its own loop, tools and reward, ready to be trained over HTTP.

POST /rollout --> solve --chat completions--> the policy, at the address that the rollout brings
                    `--> reward and its parts, reported by the handler

python examples/byo_agent/agent.py [--port 8090]
"""

import argparse
import json
from typing import Any
from urllib.request import Request, urlopen

from desk import INSTRUCTIONS, TOOLS, Desk

from turnwright.client import Rollout, rollout_handler, serve

MAX_TURNS = 8


@rollout_handler
def solve(rollout: Rollout) -> dict[str, Any]:
    """Work on one parcel until there is an answer, and grade it."""
    desk = Desk(rollout.instance["day"])
    messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": rollout.prompt}]
    for _ in range(MAX_TURNS):
        reply = ask(rollout, messages)
        messages.append(reply)
        calls = reply.get("tool_calls") or []
        for call in calls:
            result = desk.answer(call["function"]["name"], call["function"]["arguments"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        if not calls:
            break
    parts = desk.grade(reply.get("content") or "")
    return {"reward": sum(parts.values()) / len(parts), "components": parts}


def ask(rollout: Rollout, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the policy's next message, by a plain chat completion."""
    body = json.dumps({"model": "default", "messages": messages, "tools": TOOLS}).encode()
    headers = {**rollout.headers(), "Content-Type": "application/json"}
    with urlopen(Request(f"{rollout.openai_base_url}/chat/completions", body, headers), timeout=600) as answer:
        return json.load(answer)["choices"][0]["message"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the parcel desk's agent.")
    parser.add_argument("--port", type=int, default=8090)
    port: int = parser.parse_args().port
    print(f"the parcel desk's agent serves http://127.0.0.1:{port}/rollout; Ctrl-C stops it", flush=True)
    # wait: the run sees at once when this process dies with rollouts in work.
    serve(solve, port, wait=True)


if __name__ == "__main__":
    main()
