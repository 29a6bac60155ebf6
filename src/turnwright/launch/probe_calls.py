"""SeenCall: a request of an agent, as a person would tell it: what it was for, on whose behalf, and how it was met.

WireRequest --read_call--> SeenCall
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from turnwright.core.message import Message, ToolSpec
from turnwright.gateway.calls import Caller
from turnwright.gateway.credentials import Credentials
from turnwright.gateway.dialects.anthropic import AnthropicMessages
from turnwright.gateway.dialects.base import Dialect, ReadCall
from turnwright.gateway.dialects.openai_chat import OpenAIChat
from turnwright.gateway.dialects.openai_responses import OpenAIResponses
from turnwright.gateway.gateway import TRAJECTORY_HEADER
from turnwright.gateway.http.body import parse_object
from turnwright.gateway.http.endpoint import mark_of
from turnwright.gateway.http.runtime import StreamedChat
from turnwright.gateway.refusals import Refusal
from turnwright.launch.probe_wire import WireRequest

CallKind = Literal["sample", "complete", "reward", "unknown", "other"]
"""unknown: a path that the gateway has not; other: health, models, the queue, ..."""
Credential = Literal["token", "aws", "unscoped", "none"]
"""none: nothing that was accepted."""

DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": OpenAIChat(),
    "/v1/responses": OpenAIResponses(),
    "/v1/messages": AnthropicMessages(),
    "/sample": OpenAIChat(),
    "/sample-with-response-stream": StreamedChat(),
}
"""Model calls by the end of their route."""
_REPORTS: Mapping[str, CallKind] = {"/complete-rollout": "complete", "/update-reward": "reward"}
_URL_PREFIX = "/t/{trajectory_id}"
_TIMEOUT_HEADERS = ("x-stainless-read-timeout", "x-stainless-timeout")
"""Where OpenAI's and Anthropic's clients say how long they wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCall:
    """One request of an agent."""

    began: float
    """Seconds since the probe began."""
    method: str
    path: str
    """Pattern of the path; the path itself where the gateway has no such route."""
    kind: CallKind
    dialect: str = ""
    """Of a model call."""
    status: int
    named: Mapping[str, str] = field(default_factory=dict[str, str])
    """The trajectory that it is about, by where that was said: header, path, body, token."""
    credential: Credential
    trajectory_id: str | None = None
    """The one that it was taken for; None when none was named."""
    turn: int | None = None
    """Number of an accepted model call within its trajectory."""
    streamed: bool = False
    num_messages: int = 0
    opens: bool = False
    """A model call without any earlier reply."""
    tools: tuple[str, ...] = ()
    """Tools that a model call offers."""
    refusal: str = ""
    """Why it was not carried out, in the gateway's words."""
    reason: str = ""
    """Machine-readable detail of that."""
    is_retry: bool = False
    """The client says that it repeats a call."""
    client_timeout: float | None = None
    """Seconds that the client waits, where it says so."""

    @property
    def accepted(self) -> bool:
        """Carried out."""
        return 200 <= self.status < 300

    @property
    def spelled(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def refused(self) -> str:
        """What became of it, where it was refused."""
        return f"{self.spelled} was refused with {self.status}: {self.refusal}"


def read_call(request: WireRequest, credentials: Credentials) -> SeenCall:
    """Return what a request that has been answered was.

    Args:
        request: From the wire.
        credentials: Those of the gateway, which say what the caller could prove.
    """
    caller, read = request.caller, read_model_call(request)
    credential, bound = _identify(caller, credentials)
    named = {where: name for where, name in _named(caller, bound).items() if name}
    answered = request.answer_headers.get("x-turnwright-trajectory")
    turn = request.answer_headers.get("x-turnwright-turn")
    refusal = _json_object(bytes(request.refusal))
    inner = refusal.get("error")
    error = inner if isinstance(inner, dict) else refusal
    messages = read.call.messages if read else ()
    return SeenCall(
        began=request.began,
        method=caller.method,
        path=request.route or caller.path.partition("?")[0][:200],
        kind=_kind(request.route),
        dialect=dialect.name if (dialect := _dialect(request.route)) else "",
        status=request.status,
        named=named,
        credential=credential,
        trajectory_id=answered or next(iter(named.values()), None),
        turn=int(turn) if turn is not None else None,
        streamed=read is not None and read.stream,
        num_messages=len(messages),
        opens=_opens(messages),
        tools=tuple(tool.name for tool in read.call.tools) if read else (),
        refusal=str(error.get("message") or ""),
        reason=str(error.get("code") or ""),
        is_retry=mark_of(caller.headers).is_retry,
        client_timeout=_client_timeout(caller),
    )


def offered_tools(request: WireRequest) -> tuple[ToolSpec, ...]:
    """Return the tools that a model call offers to the policy."""
    read = read_model_call(request)
    return read.call.tools if read else ()


def read_model_call(request: WireRequest) -> ReadCall | None:
    """Return a model call as its dialect reads it; None for other requests, and for what it refuses."""
    dialect = _dialect(request.route)
    if dialect is None:
        return None
    try:
        return dialect.read(parse_object(bytes(request.body)), request.caller.headers)
    except Refusal:
        return None


def _dialect(route: str) -> Dialect | None:
    return DIALECTS.get(route.removeprefix(_URL_PREFIX))


def _kind(route: str) -> CallKind:
    if not route:
        return "unknown"
    return "sample" if _dialect(route) else _REPORTS.get(route, "other")


def _identify(caller: Caller, credentials: Credentials) -> tuple[Credential, str | None]:
    """Return what a caller proved, and the trajectory that its token is bound to."""
    try:
        identity = credentials.identify(caller)
    except Refusal:
        return "none", None
    return identity.kind, identity.trajectory_id


def _named(caller: Caller, bound: str | None) -> dict[str, str | None]:
    body = _json_object(caller.body).get("TrajectoryId")
    return {
        "header": caller.headers.get(TRAJECTORY_HEADER),
        "path": caller.path_trajectory_id,
        "body": body if isinstance(body, str) else None,
        "token": bound,
    }


def _opens(messages: tuple[Message, ...]) -> bool:
    return bool(messages) and not any(message.role == "assistant" for message in messages)


def _client_timeout(caller: Caller) -> float | None:
    said = next((caller.headers[name] for name in _TIMEOUT_HEADERS if name in caller.headers), "")
    try:
        return float(said)
    except ValueError:
        return None


def _json_object(text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
