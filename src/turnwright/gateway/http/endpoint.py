"""The endpoint of every dialect: the one place that knows both HTTP and calls.

request --read_body--> bytes --desk.line--> Line             who is calling, before anything is parsed
                             --dialect.read--> ReadCall --line.ask--> Exchange --delivery--> response
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from turnwright.gateway.calls import Call, Caller, CallMark, Desk, Line
from turnwright.gateway.dialects.base import Dialect, ReadCall
from turnwright.gateway.http.body import MAX_BODY_BYTES, parse_object, read_body
from turnwright.gateway.http.delivery import KEEP_ALIVE_SECONDS, Delivery, StreamedReply, WholeReply, spell_sampling
from turnwright.gateway.http.refusals import refused
from turnwright.gateway.refusals import Refusal

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid")
"""Where OpenAI's, Anthropic's and AWS's clients look for it."""

_UNMARKED = CallMark()
"""Of most calls, each of which keeps its mark as long as it can be repeated."""


async def serve_call(
    request: Request,
    desk: Desk,
    dialect: Dialect,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
) -> Response:
    """Serve one model call.

    Args:
        request: Any request whose body is the dialect's.
        desk: Knows who may ask, and whom.
        dialect: Spells request, reply and errors.
        max_body_bytes: Longer bodies are refused without reading them to their end.
        keep_alive_seconds: Longest silence in a stream.

    Returns:
        The reply, whole or streamed as the request asks, or an error in the dialect's shape.
    """
    headers = request_id_headers()
    try:
        body = await read_body(request, max_body_bytes)
        caller = caller_of(request, body)
        line = desk.line(caller)
        read = dialect.read(parse_object(body), caller.headers)
        exchange = await line.ask(_complete_call(read, caller, desk, line))
    except Refusal as refusal:
        return refused(dialect, refusal, headers)
    except ClientDisconnect:
        return Response(status_code=400)
    delivery = Delivery(
        dialect=dialect,
        read=read,
        exchange=exchange,
        line_name=line.name,
        headers={
            **headers,
            "x-turnwright-trajectory": line.name,
            "x-turnwright-turn": str(exchange.turn),
            "x-turnwright-sampling": spell_sampling(exchange.used),
        },
        keep_alive_seconds=keep_alive_seconds,
    )
    return StreamedReply(delivery) if read.stream else WholeReply(delivery)


def request_id_headers() -> dict[str, str]:
    """Return a new id for a request, in every header that a client may read it from."""
    return dict.fromkeys(_REQUEST_ID_HEADERS, uuid.uuid4().hex)


def caller_of(request: Request, body: bytes) -> Caller:
    """Return what HTTP says about who is calling.

    A header that was sent twice counts with both values, so that no two readers can take it for different ones.
    """
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path = request.scope.get("raw_path") or request.url.path.encode()
    query = request.scope["query_string"]
    return Caller(
        method=request.method,
        path=(path + (b"?" + query if query else b"")).decode("latin-1"),
        headers=headers,
        path_trajectory_id=request.path_params.get("trajectory_id"),
        body=body,
        is_loopback=request.client is not None and _is_loopback(request.client.host),
    )


def mark_of(headers: Mapping[str, str]) -> CallMark:
    """Read how a client marks its calls: by Idempotency-Key, as AWS's SDKs do, or as OpenAI's and Anthropic's do."""
    is_retry = _count(headers.get("x-stainless-retry-count", "")) > 0
    key = headers.get("idempotency-key")
    if key:
        return CallMark(key=key, is_retry=is_retry, idempotency=True)
    invocation = headers.get("amz-sdk-invocation-id")
    if invocation:
        return CallMark(key=invocation, is_retry=_attempt(headers.get("amz-sdk-request", "")) > 1)
    return CallMark(is_retry=True) if is_retry else _UNMARKED


def _complete_call(read: ReadCall, caller: Caller, desk: Desk, line: Line) -> Call:
    """Add what the dialect cannot know: how the call is marked, and the conversation it goes on from."""
    ignored = read.call.ignored if read.model in desk.model_names else (*read.call.ignored, "model")
    mark = mark_of(caller.headers)
    return replace(read.call, messages=read.messages_on(line), mark=mark, ignored=ignored, stream=read.stream)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _count(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _attempt(text: str) -> int:
    """Read ``attempt=2; max=3``."""
    for field in text.split(";"):
        name, _, value = field.strip().partition("=")
        if name == "attempt":
            return _count(value)
    return 0
