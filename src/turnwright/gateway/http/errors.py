"""Errors that no dialect has spelled yet: unknown paths, wrong methods, refusals of the runtime, and our own bugs.

Whoever calls a path gets errors in the shape that its clients read. An exception that nobody foresaw is logged once,
with its traceback, and answered with a 500; it never ends the server.
"""

import json
import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnwright.gateway.dialects.anthropic import AnthropicMessages
from turnwright.gateway.dialects.base import AWS_ERRORS
from turnwright.gateway.dialects.openai_chat import OpenAIChat
from turnwright.gateway.http.endpoint import request_id_headers
from turnwright.gateway.http.refusals import refusal_headers
from turnwright.gateway.refusals import Refusal

log = logging.getLogger(__name__)


class AnswerErrors:
    """ASGI middleware: turns what a route raises into an answer."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            return
        except Refusal as refusal:
            await refused_at(scope["path"], refusal)(scope, receive, send)
        except Exception as error:
            headers = request_id_headers()
            log.exception("%s %s failed; request %s", scope["method"], scope["path"], headers["x-request-id"])
            # Once bytes are out only a broken connection tells the client that the rest will not come.
            if not has_started:
                answer = refused_at(scope["path"], _bug(error, headers["x-request-id"]), headers=headers)
                await answer(scope, receive, send)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Answer what the router raises: a path that no route has, or a method that its route has not."""
    assert isinstance(error, HTTPException)
    path, headers = request.url.path, dict(error.headers or {})
    if error.status_code == 405:
        told = f"{request.method} {path} is not possible: expected {headers.get('Allow', 'another method')}"
        return refused_at(path, Refusal("validation", told), headers=headers, status=405)
    told = f"{request.method} {path} does not exist: expected a path of this gateway's /openapi.json"
    return refused_at(path, Refusal("not_found", told), headers=headers, status=error.status_code)


def refused_at(
    path: str, refusal: Refusal, *, headers: Mapping[str, str] | None = None, status: int | None = None
) -> Response:
    """Return a refusal in the shape that the clients of a path read.

    Args:
        path: Of the request.
        refusal: What to say.
        headers: To send beside a request id, or with one of their own.
        status: In place of the refusal's own.
    """
    return Response(
        json.dumps(_body(path, refusal)),
        status_code=refusal.status if status is None else status,
        media_type="application/json",
        headers={**request_id_headers(), **(headers or {}), **refusal_headers(refusal)},
    )


def _body(path: str, refusal: Refusal) -> Mapping[str, object]:
    if "/v1/messages" in path:
        return AnthropicMessages().refuse(refusal)
    if "/v1/" in path or path.startswith("/sample"):
        return OpenAIChat().refuse(refusal)
    return {"__type": AWS_ERRORS[refusal.code], "message": str(refusal)}


def _bug(error: Exception, request_id: str) -> Refusal:
    return Refusal(
        "internal",
        f"the gateway failed on this call ({type(error).__name__}); its log has the traceback under request "
        f"{request_id}; the call may be made again",
    )
