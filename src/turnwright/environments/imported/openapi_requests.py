"""Operation: a tool that is one request of an OpenAPI document, and how its arguments become that request.

get_order(order="O3", fields=["item"])  -->  GET /orders/O3?fields=item
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import quote

import httpx2

from turnwright.core.errors import ToolError
from turnwright.core.message import ToolSpec

Room = Literal["path", "query", "header", "cookie", "body", "member"]
SEPARATORS: Mapping[str, str] = {"spaceDelimited": " ", "pipeDelimited": "|"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an argument goes."""

    room: Room
    """"body" is the whole body, "member" one member of a JSON object."""
    name: str
    """The server's name of it."""
    style: str = "form"
    """How OpenAPI spells lists and objects in a URL."""
    explode: bool = True
    as_json: bool = False
    """The value is spelled as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A request without its arguments.

    Example::

        Operation(spec=spec, method="GET", path="/orders/{order}", places={"order": Place(room="path", name="order")})
    """

    spec: ToolSpec
    """What the policy is told."""
    method: str
    path: str
    """With names in braces, relative to the base URL."""
    places: Mapping[str, Place] = field(default_factory=dict[str, Place])
    """Where each argument goes, by the name the policy uses."""
    content_type: str = "application/json"
    """Of the body."""

    def __str__(self) -> str:
        """Return the request line as errors spell it."""
        return f"{self.method} {self.path}"

    def request(self, client: httpx2.Client | httpx2.AsyncClient, arguments: Mapping[str, Any]) -> httpx2.Request:
        """Return the request of a call; the client adds its base URL and headers.

        Arguments that are null are left out, but for members of a body, where null is a value.

        Raises ToolError for an argument that would lead to another path or add a header.
        """
        path, query, headers = self.path, list[tuple[str, str]](), dict[str, str]()
        cookies: list[str] = []
        members: dict[str, Any] = {}
        body: tuple[Any, ...] = ()
        for name, value in arguments.items():
            place = self.places[name]
            if place.room == "body":
                body = (value,)
            elif place.room == "member":
                members[place.name] = value
            elif value is None:
                continue
            elif place.room == "path":
                path = path.replace(f"{{{place.name}}}", _segment(name, value))
            elif place.room == "query":
                query += _pairs(place, value)
            elif place.room == "header":
                headers[place.name] = _header_text(name, value)
            else:
                cookies.append(f"{place.name}={quote(_listed(value), safe='')}")
        if cookies:
            headers["Cookie"] = "; ".join(cookies)
        content = None
        if body or any(place.room == "member" for place in self.places.values()):
            content = json.dumps(body[0] if body else members, ensure_ascii=False).encode()
            headers["Content-Type"] = self.content_type
        url = httpx2.URL(path)
        return client.build_request(
            self.method, url.copy_merge_params(tuple(query)) if query else url, headers=headers, content=content
        )


def _pairs(place: Place, value: Any) -> Iterator[tuple[str, str]]:
    """Yield names and values of a query."""
    if place.as_json:
        yield place.name, json.dumps(value, ensure_ascii=False)
    elif isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        if place.style == "deepObject":
            yield from ((f"{place.name}[{name}]", _text(one)) for name, one in members.items())
        elif place.explode:
            yield from ((name, _text(one)) for name, one in members.items())
        else:
            yield place.name, _listed(value)
    elif isinstance(value, list) and place.explode:
        yield from ((place.name, _text(one)) for one in cast("list[Any]", value))
    else:
        yield place.name, _listed(value, SEPARATORS.get(place.style, ","))


def _segment(name: str, value: Any) -> str:
    text = _listed(value)
    if text in ("", ".", ".."):
        raise ToolError(f"Argument {name} must not be {text!r}")
    return quote(text, safe="")


def _header_text(name: str, value: Any) -> str:
    text = _listed(value)
    if not text.isascii() or not text.isprintable():
        raise ToolError(f"Argument {name} must be plain ASCII text without line ends")
    return text


def _listed(value: Any, separator: str = ",") -> str:
    """Return a list, or an object as a list of names and values, in one text."""
    if isinstance(value, Mapping):
        parts: Sequence[Any] = [part for pair in cast("Mapping[str, Any]", value).items() for part in pair]
    else:
        parts = cast("list[Any]", value) if isinstance(value, list) else [value]
    return separator.join(map(_text, parts))


def _text(value: Any) -> str:
    """Return a string verbatim and anything else as JSON spells it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
