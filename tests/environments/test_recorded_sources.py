"""Live tools of every kind: functions, an HTTP API behind its real client and a real ASGI app."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from turnwright.core.errors import DatasetError, EnvironmentLoadError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.environments import tool
from turnwright.environments.recorded.capture import Recorder
from turnwright.environments.recorded.sources import Endpoint, Functions, HttpApi, function_spec
from turnwright.environments.recorded.store import read_recordings
from turnwright.environments.tools import tool_spec


class Desk:
    """Holds the same tool as a method of an environment and as a bound method."""

    @tool
    def lookup(self, order: int, *, region: str | None = None) -> str:
        """Return an order.

        Args:
            order: Its number.
        """
        return f"order {order} {region}"


def test_bound_method_is_told_like_a_tool_of_an_environment() -> None:
    assert function_spec(Desk().lookup) == tool_spec(Desk.lookup)
    assert asyncio.run(Functions(Desk().lookup).answer("lookup", {"order": 3})) == "order 3 None"


def untyped(order) -> str:  # type: ignore[no-untyped-def]
    return str(order)


def test_function_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(EnvironmentLoadError, match="'order' has no type"):
        Functions(untyped)


def spec(name: str, *required: str, **properties: str) -> ToolSpec:
    rules = {argument: {"type": kind} for argument, kind in properties.items()}
    return ToolSpec(
        name=name, description="", parameters={"type": "object", "properties": rules, "required": [*required]}
    )


async def show(request: Request) -> Response:
    order = request.path_params["order"]
    if order == "O9":
        return PlainTextResponse("no order O9", status_code=404)
    if order.isdigit():
        return Response(status_code=int(order))
    return JSONResponse({"order": order, "query": request.query_params.multi_items(), "key": request.headers["key"]})


async def search(request: Request) -> Response:
    return PlainTextResponse((await request.body()).decode())


API = Starlette(
    routes=[Route("/orders/{order:path}", show), Route("/search", search, methods=["POST"])],
)
SHOW = Endpoint(
    spec=spec("show", "order", order="string", day="integer", exact="boolean", tags="array", note="null"),
    request="/orders/{order}?form=long",
)
SEARCH = Endpoint(
    spec=spec("search", "text", text="string"),
    request=lambda client, arguments: client.build_request("POST", "/search", json=dict(arguments)),
)


def ask(tool_name: str, arguments: Mapping[str, Any]) -> str:
    async def once() -> str:
        transport = httpx2.ASGITransport(app=API)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api", headers={"key": "k1"}) as client:
            return await HttpApi(client, [SHOW, SEARCH]).answer(tool_name, arguments)

    return asyncio.run(once())


def test_url_takes_arguments_in_braces_and_the_others_as_query() -> None:
    answer = json.loads(ask("show", {"order": "a/b c?&#", "day": 3, "exact": True, "tags": ["x", 2], "note": None}))
    assert answer["order"] == "a/b c?&#"
    assert answer["key"] == "k1"
    assert answer["query"] == [["form", "long"], ["day", "3"], ["exact", "true"], ["tags", "x"], ["tags", "2"]]


def test_request_may_be_made_by_a_function() -> None:
    assert json.loads(ask("search", {"text": "K\u00f6ln"})) == {"text": "K\u00f6ln"}


def test_refusal_of_the_caller_is_an_answer_and_trouble_is_not() -> None:
    with pytest.raises(ToolError, match="no order O9"):
        ask("show", {"order": "O9"})
    with pytest.raises(ToolError, match="HTTP 422"):
        ask("show", {"order": "422"})
    for status in (302, 401, 403, 429, 500, 503):
        with pytest.raises(httpx2.HTTPStatusError, match=str(status)):
            ask("show", {"order": str(status)})


def test_url_and_schema_must_agree() -> None:
    with pytest.raises(EnvironmentLoadError, match="'id', which is no argument; its arguments are: order"):
        Endpoint(spec=spec("show", order="string"), request="/orders/{id}")
    with pytest.raises(DatasetError, match="needs the argument 'order'"):
        ask("show", {"day": 3})


def test_api_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def record() -> None:
        transport = httpx2.ASGITransport(app=API)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api", headers={"key": "k1"}) as client:
            with Recorder(path, HttpApi(client, [SHOW, SEARCH])) as recorder:
                await recorder.record("show", {"order": "O9"})
                await recorder.record("search", {"text": "x"})

    asyncio.run(record())
    recordings = read_recordings(path)
    refused, found = recordings.find("show", '{"order":"O9"}'), recordings.find("search", '{"text":"x"}')
    assert refused is not None
    assert (refused.answer, refused.error) == ("no order O9", True)
    assert found is not None
    assert (found.answer, found.error) == ('{"text":"x"}', False)
