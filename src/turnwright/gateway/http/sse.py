"""Server-sent events: one JSON object becomes the bytes of one event."""

import json
from collections.abc import Mapping

MEDIA_TYPE = "text/event-stream"

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: no client shows it, but no proxy takes the connection for dead."""

DONE = b"data: [DONE]\n\n"
"""Ends a stream of OpenAI chat chunks."""


def event(data: Mapping[str, object], name: str | None = None) -> bytes:
    """Return one event.

    The JSON is ASCII: some clients split lines at U+2028 as well.

    Args:
        data: Payload.
        name: The ``event:`` line, for dialects that have one.
    """
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n".encode()
