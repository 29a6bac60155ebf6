"""Wire: every request that reaches a gateway, with what was answered, as an ASGI wrapper around its app sees it.

request --Wire--> app --Wire--> answer
           |        `-- the reply is sampled in a task begun here: ``current_request()`` is its request
           `--> requests, in the order they came
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnwright.gateway.calls import Caller
from turnwright.gateway.http.endpoint import caller_of

_MOST_ANSWER_BYTES = 64 * 1024
"""Of a refusal, which is all that is kept of answers."""
CLIENT_LEFT = 499
"""Status of a request whose client left before one was sent."""


@dataclass(slots=True, kw_only=True)
class WireRequest:
    """One request; filled as it is served."""

    scope: Scope
    began: float
    """Seconds since the wire was opened."""
    body: bytearray = field(default_factory=bytearray)
    status: int = CLIENT_LEFT
    answer_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    refusal: bytearray = field(default_factory=bytearray)
    """Body of an answer with a status of 400 or more."""

    @property
    def route(self) -> str:
        """Pattern of the path; empty for a path that the app has not."""
        return getattr(self.scope.get("route"), "path", "")

    @property
    def caller(self) -> Caller:
        """Who called, as the gateway reads it."""
        return caller_of(Request(self.scope), bytes(self.body))


_current: ContextVar[WireRequest] = ContextVar("probe_request")


def current_request() -> WireRequest:
    """Return the request that this code runs for: in the app, and in the tasks it begins."""
    return _current.get()


class Wire:
    """Remembers what passes."""

    def __init__(self) -> None:
        """Open it; times count from now."""
        self.requests: list[WireRequest] = []
        self._opened = time.monotonic()

    def now(self) -> float:
        """Return the seconds since it was opened."""
        return time.monotonic() - self._opened

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return an app that answers as ``app`` does."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            request = WireRequest(scope=scope, began=self.now())
            self.requests.append(request)
            token = _current.set(request)
            try:
                await app(scope, _listening(request, receive), _overhearing(request, send))
            finally:
                _current.reset(token)

        return watched


def _listening(request: WireRequest, receive: Receive) -> Receive:
    async def listen() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            request.body += message.get("body", b"")
        return message

    return listen


def _overhearing(request: WireRequest, send: Send) -> Send:
    async def overhear(message: Message) -> None:
        _note(request, message)
        await send(message)

    return overhear


def _note(request: WireRequest, message: Mapping[str, Any]) -> None:
    if message["type"] == "http.response.start":
        request.status = message["status"]
        request.answer_headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]
        }
    elif (
        message["type"] == "http.response.body" and request.status >= 400 and len(request.refusal) < _MOST_ANSWER_BYTES
    ):
        request.refusal += message.get("body", b"")
