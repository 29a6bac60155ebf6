"""The agent's side of a session in MCP: JSON-RPC requests in, answers out, whatever carries them.

    initialize, ping, tools/list, tools/call, prompts/list, prompts/get

An agent calls tools and says something with the tool ``reply``, which ends the task where nothing more is asked. There
is no request that begins an episode again, and none that tells a reward.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, cast

from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.launch.export.episode import News
from turnwright.launch.export.errors import ServiceError
from turnwright.launch.export.sessions import Session

PROTOCOLS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Versions with sessions, the newest first; later ones have none, and their clients fall back to these."""
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, INTERNAL_ERROR = -32602, -32603
OVER = "The task is over: nothing more can be done."
PROMPT = "task"
REPLYING = "Say something to whoever set the task: an answer or a question. Returns what they say, or that it is over."
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


class McpError(Exception):
    """A request that cannot be answered; ``code`` is JSON-RPC's."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the code and what to say."""
        super().__init__(message)
        self.code = code


def reply_tool(specs: Sequence[ToolSpec]) -> ToolSpec:
    """Return the tool that an agent speaks with, under a name that no other tool has."""
    name, taken = "reply", {spec.name for spec in specs}
    while name in taken:
        name += "_to_user"
    return ToolSpec(name=name, description=REPLYING, parameters=TEXT)


async def answer(session: Session, request: Any) -> dict[str, Any] | None:
    """Answer one JSON-RPC message of a session; None for a notification."""
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return failure(None, INVALID_REQUEST, "expected one JSON-RPC request")
    number = request.get("id")
    if number is None:
        return None
    params = request.get("params") or {}
    try:
        if not isinstance(params, dict):
            raise McpError(INVALID_PARAMS, "params must be an object")
        result = await _result(session, request["method"], cast("dict[str, Any]", params))
    except McpError as error:
        return failure(number, error.code, str(error))
    return {"jsonrpc": "2.0", "id": number, "result": result}


def failure(number: Any, code: int, message: str) -> dict[str, Any]:
    """Return a JSON-RPC error."""
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


async def _result(session: Session, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            return _initialized(session, params)
        case "ping":
            return {}
        case "tools/list":
            specs = session.hosted.specs if session.hosted else session.tools()
            return {"tools": [_tool(spec) for spec in (*specs, reply_tool(specs))]}
        case "tools/call":
            return await _called(session, params)
        case "prompts/list":
            return {"prompts": [{"name": PROMPT, "description": "What to do."}]}
        case "prompts/get":
            return _prompt(session, params)
        case _:
            raise McpError(METHOD_NOT_FOUND, f"there is no method {method!r} here")


def _initialized(session: Session, params: Mapping[str, Any]) -> dict[str, Any]:
    asked = params.get("protocolVersion")
    opening = session.hosted.opening if session.hosted else ()
    return {
        "protocolVersion": asked if asked in PROTOCOLS else PROTOCOLS[0],
        "capabilities": {"tools": {}, "prompts": {}},
        "serverInfo": {"name": "turnwright", "version": version("turnwright")},
        "instructions": "\n\n".join(one.content for one in opening if one.role == "system"),
    }


def _prompt(session: Session, params: Mapping[str, Any]) -> dict[str, Any]:
    if params.get("name") != PROMPT:
        raise McpError(INVALID_PARAMS, f"there is no prompt {params.get('name')!r}; there is {PROMPT!r}")
    opening = session.hosted.opening if session.hosted else ()
    return {
        "messages": [
            {"role": one.role, "content": {"type": "text", "text": one.content}}
            for one in opening
            if one.role in ("user", "assistant")
        ]
    }


async def _called(session: Session, params: Mapping[str, Any]) -> dict[str, Any]:
    name, arguments = params.get("name"), params.get("arguments") or {}
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise McpError(INVALID_PARAMS, "tools/call needs a name, and arguments that are an object")
    if session.hosted is None:
        raise McpError(INVALID_REQUEST, "no episode has begun")
    async with session.calls:
        if session.over:
            return _text(OVER, error=True)
        if name == reply_tool(session.hosted.specs).name:
            text = cast("dict[str, Any]", arguments).get("text")
            if not isinstance(text, str):
                return _text("Argument text must be string", error=True)
            reply = Message(role="assistant", content=text)
        else:
            written = json.dumps(arguments, ensure_ascii=False)
            call = ToolCall(id=f"call_{session.hosted.num_turns}_0", name=name, arguments=written)
            reply = Message(role="assistant", tool_calls=(call,))
        try:
            news = await session.reply(reply)
        except ServiceError as error:
            if error.code == "EXECUTION_ERROR":
                # What broke is the trainer's business, and is in the episode.
                raise McpError(INTERNAL_ERROR, "the environment broke: the task cannot be gone on with") from None
            return _text(OVER, error=True)
    return _text(_said(news), error=any(one.error for one in news.tools))


def _said(news: News) -> str:
    said = "\n\n".join(one.content for one in news.messages)
    return said or OVER if news.episode is None or news.tools else "\n\n".join(filter(None, (said, OVER)))


def _text(text: str, *, error: bool) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": error}


def _tool(spec: ToolSpec) -> dict[str, Any]:
    return {"name": spec.name, "description": spec.description, "inputSchema": dict(spec.parameters)}
