"""What the HTTP side of both exports shares: bodies read, refusals answered."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from turnwright.gateway.http.body import parse_object, read_body
from turnwright.gateway.refusals import Refusal
from turnwright.launch.export.access import check_origin, check_token
from turnwright.launch.export.errors import ServiceError

Endpoint = Callable[[Request], Awaitable[Response]]


async def read_object(request: Request) -> dict[str, Any]:
    """Return the body, a JSON object; an empty one reads as ``{}``. Raises ServiceError."""
    try:
        body = await read_body(request)
        return dict(parse_object(body)) if body.strip() else {}
    except Refusal as refusal:
        raise ServiceError("INVALID_JSON", str(refusal)) from None


def guarded(endpoint: Endpoint, token: str | None) -> Endpoint:
    """Return an endpoint that asks for the token and answers with what is refused.

    Args:
        endpoint: Raises ServiceError.
        token: None = none is asked for.
    """

    async def answered(request: Request) -> Response:
        try:
            check_origin(request)
            check_token(request, token)
            return await endpoint(request)
        except ServiceError as error:
            return JSONResponse(refusal_of(error), status_code=error.status)

    return answered


def refusal_of(error: ServiceError) -> dict[str, Any]:
    """Return what a client reads of an error."""
    return {"error": {"code": error.code, "message": str(error)}}


def parse_text(text: str) -> Any:
    """Return what a text frame spells; raises ServiceError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ServiceError("INVALID_JSON", f"the frame must be JSON: got {error}") from None
