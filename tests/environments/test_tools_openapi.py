"""Live tools of a real HTTP service, and the same ones recorded."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from environments.http_service import served
from turnwright.agents.builtin import LoopLimits
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import ConfigError, EnvironmentLoadError
from turnwright.core.message import ToolCall
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments import ToolAnswer, ToolCrash, call, say, tool
from turnwright.environments.imported.openapi import ApiClient, OpenApiEnvironment
from turnwright.environments.imported.openapi_document import read_openapi
from turnwright.environments.recorded.capture import Recorder
from turnwright.environments.recorded.store import read_recordings
from turnwright.environments.scripts import numbered
from turnwright.rollout.demonstrations import ScriptedPolicy
from turnwright.rollout.runner import EpisodeLimits, run_episode

KEY = "Bearer sk-123456"
TASK = Task(id="t", prompt="Where does O3 ship to?")


async def order(request: Request) -> Response:
    number = request.path_params["order"]
    if request.headers.get("authorization") != KEY:
        return PlainTextResponse("who are you?", status_code=401)
    if number.isdecimal():
        return PlainTextResponse(f"no {number} for {request.headers['authorization']}", status_code=int(number))
    match number:
        case "moved":
            return RedirectResponse("http://elsewhere.example.com/")
        case "photo":
            return Response(b"\x89PNG", media_type="image/png")
        case "long":
            return PlainTextResponse("\u00f6" * 400)
        case "slow":
            await asyncio.sleep(30)
    seen = {name: request.headers.get(name, "") for name in ("tenant", "cookie")}
    answer = JSONResponse({"order": number, "key": request.query_params.get("api_key"), **seen})
    answer.set_cookie("visit", number)
    return answer


async def cancel(request: Request) -> Response:
    return JSONResponse({"cancelled": await request.json()}, status_code=201)


APP = Starlette(routes=[Route("/v1/orders/{order}", order), Route("/v1/cancel", cancel, methods=["POST"])])
ORDER = {"name": "order", "in": "path", "required": True, "schema": {"type": "string"}}
API_KEY = {"name": "api_key", "in": "query", "schema": {"type": "string"}}
BODY = {"type": "object", "properties": {"order": {"type": "string"}, "why": {"type": "string"}}, "required": ["order"]}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "paths": {
        "/orders/{order}": {"get": {"operationId": "getOrder", "parameters": [ORDER, API_KEY]}},
        "/cancel": {
            "post": {
                "operationId": "cancelOrder",
                "requestBody": {"required": True, "content": {"application/json": {"schema": BODY}}},
            }
        },
    },
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(APP) as url:
        yield url


@pytest.fixture
def shop(url: str, monkeypatch: pytest.MonkeyPatch) -> "Shop":
    monkeypatch.setenv("SHOP_AUTHORIZATION", KEY)
    monkeypatch.setenv("SHOP_KEY", "qk-654321")
    return Shop(f"{url}/v1")


class Shop(OpenApiEnvironment):
    secret_headers = {"Authorization": "SHOP_AUTHORIZATION"}  # noqa: RUF012
    secret_query = {"api_key": "SHOP_KEY"}  # noqa: RUF012
    max_answer_bytes = 101

    def __init__(self, url: str) -> None:
        self.api = read_openapi(DOCUMENT, base_url=url, methods=["get", "post"], hidden=["api_key"])

    def request_headers(self) -> dict[str, str]:
        return {"tenant": f"{self.task.id}-{self.seed}"}

    def tasks(self, split: Split) -> Iterable[Task]:
        return [TASK]

    def reward(self, episode: Episode) -> float:
        return 1.0


def ask(shop: Shop, name: str, /, **arguments: str) -> ToolAnswer:
    environment = shop.for_episode()
    environment.open(TASK, 5)
    try:
        return asyncio.run(environment.call_tool(ToolCall(id="c", name=name, arguments=json.dumps(arguments))))
    finally:
        environment.close()


def test_answer_is_the_body_without_secrets(shop: Shop) -> None:
    assert json.loads(ask(shop, "getOrder", order="O3").message.content) == {
        "order": "O3",
        "key": "[secret]",
        "tenant": "t-5",
        "cookie": "",
    }
    assert (
        ask(shop, "cancelOrder", order="O3", why="late").message.content == '{"cancelled":{"order":"O3","why":"late"}}'
    )


def test_cookies_belong_to_one_episode(shop: Shop) -> None:
    first, second = shop.for_episode(), shop.for_episode()
    first.open(TASK, 1)
    second.open(TASK, 2)
    try:
        first.ask("getOrder", {"order": "O3"})
        assert '"cookie":"visit=O3"' in first.ask("getOrder", {"order": "O4"})
        assert '"cookie":""' in second.ask("getOrder", {"order": "O4"})
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize("status", ["400", "404", "409", "422"])
def test_refusal_is_read_by_the_policy_without_secrets(shop: Shop, status: str) -> None:
    answer = ask(shop, "getOrder", order=status)
    assert answer.outcome.error
    assert json.loads(answer.message.content) == {"error": f"no {status} for [secret]"}


@pytest.mark.parametrize("status", ["403", "408", "429", "500", "503"])
def test_trouble_is_a_crash_with_the_status(shop: Shop, status: str) -> None:
    with pytest.raises(
        ToolCrash, match=f"GET /orders/.order. was answered with HTTP {status}: no {status} for .secret."
    ):
        ask(shop, "getOrder", order=status)


def test_redirect_is_not_followed(shop: Shop) -> None:
    with pytest.raises(ToolCrash, match="HTTP 307"):
        ask(shop, "getOrder", order="moved")


def test_wrong_credentials_are_a_crash(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_AUTHORIZATION", "Bearer wrong-key")
    with pytest.raises(ToolCrash, match="HTTP 401: who are you"):
        ask(shop, "getOrder", order="O3")
    monkeypatch.delenv("SHOP_AUTHORIZATION")
    with pytest.raises(ConfigError, match="'SHOP_AUTHORIZATION' is not set"):
        ask(shop, "getOrder", order="O3")


def test_answer_that_is_no_text_or_too_long(shop: Shop) -> None:
    assert "image/png; only text" in ask(shop, "getOrder", order="photo").message.content
    assert ask(shop, "getOrder", order="long").message.content == "\u00f6" * 50 + "\n[cut after 101 bytes]"


def play(shop: Shop, name: str, **arguments: str) -> Episode:
    policy = ScriptedPolicy(numbered([call(name, **arguments), say("Oslo")]))
    limits = EpisodeLimits(loop=LoopLimits(max_turns=4))
    key = EpisodeKey(task_id="t", attempt=0)
    return asyncio.run(run_episode(shop, TASK, key, policy, limits, seed=1))


def test_episode_reads_errors_and_fails_by_trouble(shop: Shop) -> None:
    assert play(shop, "getOrder", order="404").outcome == Rewarded(value=1.0)
    assert play(shop, "getOrder", wrong="404").turns[0].tools[0].malformed
    failed = play(shop, "getOrder", order="503").outcome
    assert isinstance(failed, Failed)
    assert (failed.cause, "HTTP 503" in failed.detail) == ("tool_error", True)
    shop.request_seconds = 0.05
    late = play(shop, "getOrder", order="slow").outcome
    assert isinstance(late, Failed)
    assert late.cause == "tool_timeout"


def test_server_that_is_away_is_a_crash(shop: Shop) -> None:
    shop.api = read_openapi(DOCUMENT, base_url="http://127.0.0.1:1")
    with pytest.raises(ToolCrash, match="failed: ConnectError"):
        ask(shop, "getOrder", order="O3")


def test_operation_and_method_of_one_name_are_refused(url: str) -> None:
    class Twice(Shop):
        @tool
        def getOrder(self) -> str:
            """Return an order."""
            return ""

    with pytest.raises(EnvironmentLoadError, match="'getOrder', and its API an operation of that name"):
        Twice(url).tools()


def test_api_is_recorded_without_secrets(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with (
        ApiClient(shop.api, secret_headers=shop.secret_headers, secret_query=shop.secret_query) as source,
        Recorder(path, source) as recorder,
    ):
        asyncio.run(recorder.record("getOrder", {"order": "O3"}))
        asyncio.run(recorder.record("getOrder", {"order": "404"}))
        with pytest.raises(ToolCrash, match="HTTP 503"):
            asyncio.run(recorder.record("getOrder", {"order": "503"}))
    recordings = read_recordings(path)
    assert recordings.specs["getOrder"] == shop.api.operations["getOrder"].spec
    found = recordings.by_key["getOrder"]
    assert set(found) == {'{"order":"O3"}', '{"order":"404"}'}
    assert found['{"order":"404"}'].error
    assert "sk-123456" not in path.read_text()
    assert "qk-654321" not in path.read_text()
