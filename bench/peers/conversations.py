"""What is said in bench/gateway.py: tool-calling conversations of realistic length, in three spellings.

The policy's script (``reply_text``, used by the server) and the agents (``Conversation``, used by the load generator)
tell the same story. The attempts of a task begin with the same text, as a training step's do; replies and tool results
differ between all trajectories and turns, so that no cache finds more than it would in a run. In tokens of the shipped
policy: system text and tools 276, first message 56, a reply 39, a tool result with what frames it 64.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

from turnwright.core.episode import EpisodeKey

ATTEMPTS = 8
"""Attempts per task."""

Dialect = Literal["chat", "chat stream", "anthropic", "echo"]

SYSTEM = (
    "You handle returns for a shop. Read the order first, then the customer and the policy that was in force on the "
    "day of delivery. Do not promise a refund before all of them are known. When nothing is missing, decide: refund, "
    "exchange or refuse, with one sentence that says why."
)
_TOOLS = (
    ("get_order", "Look up an order: item, price, day of delivery.", "order"),
    ("get_customer", "Look up a customer: tier and earlier returns.", "customer"),
    ("get_policy", "Read the return policy that was in force on a day.", "day"),
    ("add_note", "Write a note that the next colleague will read.", "text"),
)
# What OpenAI's client for Python sends with every request.
_CLIENT_HEADERS = (
    b"accept: application/json\r\naccept-encoding: gzip, deflate\r\ncontent-type: application/json\r\n"
    b"user-agent: OpenAI/Python 3.52.0\r\nx-stainless-arch: x64\r\nx-stainless-async: async:asyncio\r\n"
    b"x-stainless-lang: python\r\nx-stainless-os: Linux\r\nx-stainless-package-version: 3.52.0\r\n"
    b"x-stainless-read-timeout: 600\r\nx-stainless-retry-count: 0\r\nx-stainless-runtime: CPython\r\n"
    b"x-stainless-runtime-version: 3.11.7\r\n"
)


def reply_text(key: EpisodeKey, turn: int, turns: int) -> str:
    """Return what the policy says in a turn, as it would sample it: a tool call, and an answer in the last turn."""
    name = f"{key.task_id}-{key.attempt}"
    if turn == turns - 1:
        return f"Refund for {name}: the item came back in time, unused, and the policy of that day allows it."
    tool, _, argument = _TOOLS[turn % 3]
    call = json.dumps({"name": tool, "arguments": {argument: f"{name}-{turn}"}})
    return f"I need to read {argument} {turn} of {name}.<tool_call>{call}</tool_call>"


class Conversation:
    """One agent's side: the request bodies of its turns, from pieces of JSON that are each written once."""

    def __init__(self, number: int, dialect: Dialect, rollout: Sequence[str]) -> None:
        """Begin with the task.

        Args:
            number: Of the trajectory, which decides task and attempt.
            dialect: Spelling.
            rollout: Id of the trajectory and its token.
        """
        self.dialect: Dialect = dialect
        self.trajectory_id, token = rollout
        self._number = number
        self._turn = 0
        path, auth = (
            ("messages", "x-api-key:") if dialect == "anthropic" else ("chat/completions", "authorization: Bearer")
        )
        self.head = f"POST /v1/{path} HTTP/1.1\r\nhost: gateway\r\n{auth} {token}\r\n".encode() + _CLIENT_HEADERS
        first = {"role": "user", "content": _task(number // ATTEMPTS)}
        if dialect == "anthropic":
            opening: dict[str, Any] = {"max_tokens": 256, "system": SYSTEM, "tools": _anthropic_tools()}
            messages = [first]
        else:
            opening = {"max_tokens": 256, "stream": dialect == "chat stream", "tools": _chat_tools()}
            messages = [{"role": "system", "content": SYSTEM}, first]
        self._opening = json.dumps({"model": "default", **opening})[:-1].encode() + b', "messages": ['
        self._pieces = [json.dumps(message).encode() for message in messages]

    def body(self) -> bytes:
        """Return the body of the next call."""
        return b"".join((self._opening, b", ".join(self._pieces), b"]}"))

    def take(self, body: bytes) -> None:
        """Read a reply and act on it: what it says and what its tools return is part of the next call."""
        if self.dialect == "anthropic":
            content = json.loads(body)["content"]
            calls = [block["id"] for block in content if block["type"] == "tool_use"]
            said: list[dict[str, Any]] = [{"role": "assistant", "content": content}]
            results = [{"type": "tool_result", "tool_use_id": call, "content": self._tool_result()} for call in calls]
            said.append({"role": "user", "content": results})
        else:
            reply = (
                _stub()
                if self.dialect == "echo"
                else _streamed(body)
                if self.dialect == "chat stream"
                else _whole(body)
            )
            calls = [call["id"] for call in reply.get("tool_calls", ())]
            said = [reply]
            said += [{"role": "tool", "tool_call_id": call, "content": self._tool_result()} for call in calls]
        self._pieces += [json.dumps(message).encode() for message in said]
        self._turn += 1

    def _tool_result(self) -> str:
        number, turn = self._number, self._turn
        return (
            f'{{"number": "{number}-{turn}", "item": "kettle {number % 97}", "price": {number % 89}.{turn}0, '
            f'"delivered": "2026-03-{turn + 10}", "tier": "gold", "returns": {number % 7}}}'
        )


def _task(task: int) -> str:
    return f"Customer {task} writes: the kettle of order {task * 7} leaks. I want my money back. May it be returned?"


def _parameters(argument: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {argument: {"type": "string", "description": f"The {argument}, as the customer wrote it."}},
        "required": [argument],
    }


def _chat_tools() -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": {"name": name, "description": text, "parameters": _parameters(argument)}}
        for name, text, argument in _TOOLS
    ]


def _anthropic_tools() -> list[dict[str, Any]]:
    return [
        {"name": name, "description": text, "input_schema": _parameters(argument)} for name, text, argument in _TOOLS
    ]


def _whole(body: bytes) -> dict[str, Any]:
    return json.loads(body)["choices"][0]["message"]


def _streamed(body: bytes) -> dict[str, Any]:
    """Put the message of a stream together, as a client does."""
    content: list[str] = []
    calls: list[dict[str, Any]] = []
    for line in body.split(b"\n\n"):
        if line.startswith(b"data: {"):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            content.append(delta.get("content") or "")
            calls += delta.get("tool_calls", ())
    message: dict[str, Any] = {"role": "assistant", "content": "".join(content)}
    return {**message, "tool_calls": calls} if calls else message


def _stub() -> dict[str, Any]:
    """Return a reply for a server that gives none."""
    call = {"id": "call", "type": "function", "function": {"name": "get_order", "arguments": '{"order": "some order"}'}}
    return {"role": "assistant", "content": "I need to read the order.", "tool_calls": [call]}
