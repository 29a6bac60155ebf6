"""The document tells of every route of the app, and of nothing else."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from starlette.routing import Route

from gateway.http.serving import serving
from turnwright.agents.queue import RolloutQueue
from turnwright.gateway.http.app import build_app
from turnwright.gateway.http.openapi import OPERATIONS, document
from turnwright.gateway.refusals import STATUS

EVERYTHING = document({operation.path for operation in OPERATIONS})


def test_it_tells_of_exactly_the_routes_of_the_app() -> None:
    async def run() -> None:
        async with serving() as served:
            queue = RolloutQueue(capacity=1, lease_seconds=1, max_deliveries=1)
            choices: tuple[dict[str, Any], ...] = (
                {},
                {"gateway": served.gateway},
                {"gateway": served.gateway, "queue": queue, "control": True},
            )
            for choice in choices:
                routes = [route for route in build_app(served.gateway, **choice).routes if isinstance(route, Route)]
                told = document({route.path for route in routes})["paths"]
                assert {(path, method) for path, item in told.items() for method in item} == {
                    (route.path, method.lower()) for route in routes for method in (route.methods or set()) - {"HEAD"}
                }
            told = (await served.client.get("/openapi.json")).json()
            assert told == EVERYTHING, "the full app has everything"

    asyncio.run(run())


def test_every_reference_resolves_and_every_schema_is_used() -> None:
    names = set(EVERYTHING["components"]["schemas"])
    used = {reference.removeprefix("#/components/schemas/") for reference in _references(EVERYTHING["paths"])}
    assert used == names


def test_every_status_of_a_refusal_is_told_where_calls_are_made() -> None:
    responses = EVERYTHING["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(responses) == {"200", *map(str, STATUS.values())}


def test_path_parameters_are_declared_and_the_document_is_json() -> None:
    json.dumps(EVERYTHING, allow_nan=False)
    for path, item in EVERYTHING["paths"].items():
        for operation in item.values():
            declared = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert declared == ({"trajectory_id"} if "{trajectory_id}" in path else set()), path


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)
