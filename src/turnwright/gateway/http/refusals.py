"""Refusals over HTTP: status and headers, the same in every dialect; the body is the dialect's."""

import json
import math
from collections.abc import Mapping

from starlette.responses import Response

from turnwright.gateway.dialects.base import AWS_ERRORS, Dialect
from turnwright.gateway.refusals import Refusal


def refused(dialect: Dialect, refusal: Refusal, headers: Mapping[str, str]) -> Response:
    """Return the response to a call that is not carried out."""
    body = json.dumps(dialect.refuse(refusal), separators=(",", ":"))
    return Response(
        body,
        status_code=refusal.status,
        media_type="application/json",
        headers={**headers, **refusal_headers(refusal)},
    )


def refusal_headers(refusal: Refusal) -> dict[str, str]:
    """Return what a client needs to know before it reads the body: boto3's class of error, and whether to try again.

    OpenAI's and Anthropic's clients try a 409 again unless they are told not to; ``retry-after-ms`` is their finer
    spelling of Retry-After.
    """
    headers = {"x-amzn-errortype": AWS_ERRORS[refusal.code]}
    if refusal.code == "conflict":
        headers["x-should-retry"] = "false"
    if refusal.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(refusal.retry_after)))
        headers["retry-after-ms"] = str(math.ceil(refusal.retry_after * 1000))
    return headers
