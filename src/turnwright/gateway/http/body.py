"""Body of a request: at most so many bytes, and a JSON object that every later layer can carry."""

import json
import math
import re
from typing import NoReturn, cast

from starlette.requests import Request

from turnwright.gateway.refusals import Refusal

MAX_BODY_BYTES = 8 * 2**20
"""Where the caller of this module sets no limit of its own."""

_HALF_OF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


async def read_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the body, reading no further than one piece beyond the limit.

    Raises:
        Refusal: "too_large".
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise _too_large(f"{declared[:20]} bytes", max_bytes)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise _too_large(f"more than {max_bytes} bytes", max_bytes)
    return bytes(body)


def parse_object(body: bytes) -> dict[str, object]:
    """Return the JSON object that a body spells, whatever its content type says: some clients send none.

    Python's parser takes more than JSON and more than later layers can write again: NaN, infinities, numbers beyond a
    float, and halves of surrogate pairs are refused here.

    Raises:
        Refusal: "validation".
    """
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if _HALF_OF_A_PAIR.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise Refusal("validation", f"the body must be JSON in UTF-8: got byte {error.start} of it wrong") from None
    except UnicodeEncodeError:
        raise Refusal("validation", "the body must be text: got an escaped half of a surrogate pair") from None
    except RecursionError:
        raise Refusal("validation", "the body must not be nested this deep: got hundreds of levels") from None
    except ValueError as error:
        raise Refusal("validation", f"the body must be JSON: got {error}") from None
    if not isinstance(value, dict):
        raise Refusal("validation", f"the body must be a JSON object: got a {type(value).__name__}")
    return cast("dict[str, object]", value)


def _too_large(got: str, max_bytes: int) -> Refusal:
    return Refusal(
        "too_large",
        f"the body must have at most {max_bytes} bytes: got {got}; shorten tool results, or raise the gateway's limit",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which JSON does not have")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]}, which no float can hold")
    return value
