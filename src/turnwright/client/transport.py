"""One HTTP exchange with the gateway, on the standard library: URL, headers, body -> Answer or NoAnswer.

Redirects are not followed: the credentials in the headers are for the gateway alone. Proxies and the file of trusted
certificates come from the environment (``https_proxy``, ``no_proxy``, ``SSL_CERT_FILE``), as they do for model clients.
"""

import json
import socket
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from urllib.error import URLError

_MOST_MESSAGE_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the gateway answered, of whatever status."""

    status: int
    body: bytes
    retry_after: str | None = None
    """The header Retry-After."""

    @property
    def message(self) -> str:
        """The gateway's own words in an error: ``message``, or ``error.message``, or the body as it is."""
        try:
            content = json.loads(self.body)
        except ValueError:
            content = None
        if isinstance(content, dict):
            error = content.get("error")
            inner = error.get("message") if isinstance(error, dict) else error
            for text in (content.get("message"), content.get("Message"), inner):
                if isinstance(text, str) and text:
                    return text
        return self.body.decode(errors="replace")[:_MOST_MESSAGE_CHARACTERS] or "(empty body)"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The exchange broke off."""

    message: str
    """The connection's error."""
    may_have_arrived: bool
    """False when no connection was made: the gateway cannot have acted on the call."""


def exchange(method: str, url: str, *, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer | NoAnswer:
    """Send a request and read its answer; ``seconds`` bounds each wait, and what breaks it off is returned."""
    request = urllib.request.Request(url, data=body or None, headers=dict(headers), method=method)
    try:
        with _opener().open(request, timeout=seconds) as response:
            return Answer(status=response.status, body=response.read(), retry_after=response.headers.get("Retry-After"))
    except (OSError, HTTPException) as problem:
        reason = problem.reason if isinstance(problem, URLError) else problem
        unconnected = isinstance(reason, ConnectionRefusedError | socket.gaierror)
        name = type(reason).__name__
        return NoAnswer(message=f"{name}: {reason}" if str(reason) else name, may_have_arrived=not unconnected)


@cache
def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that gives back every answer as it is; one serves all, as reading certificates takes time."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
    ):
        opener.add_handler(handler)
    return opener
