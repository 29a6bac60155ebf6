"""Agents behind real HTTP servers: what they get, what they may answer, and when they are asked again."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import stamina
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from turnwright.agents.base import AgentError, AgentReport
from turnwright.agents.http import HttpAgent, read_retry_after
from turnwright.core.errors import ConfigError

pytestmark = pytest.mark.slow

Endpoint = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def serving(**endpoints: Endpoint) -> AsyncIterator[str]:
    """Serve each endpoint under its name, with ``__`` for ``/``; yields the base URL."""
    routes = [
        Route("/" + name.replace("__", "/"), endpoint, methods=["GET", "POST"]) for name, endpoint in endpoints.items()
    ]
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), lifespan="off", log_level="critical"))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await running


@asynccontextmanager
async def speaking(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends these bytes and hangs up; yields its URL and what it was sent."""
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


@asynccontextmanager
async def agent_at(url: str, **options: Any) -> AsyncIterator[HttpAgent]:
    agent = HttpAgent(url, **{"timeout": 20.0, **options})
    try:
        yield agent
    finally:
        await agent.close()


def launch(answer: Endpoint, request, **options: Any) -> AgentReport | None:
    """Launch once at an agent that answers so."""

    async def go() -> AgentReport | None:
        async with serving(rollout=answer) as url, agent_at(url, **options) as agent:
            return await agent.launch(request)

    return asyncio.run(go())


def answering(*answers: Response) -> tuple[Endpoint, list[Any]]:
    """An endpoint that gives these answers in turn, the last one again and again, and what it was sent."""
    seen: list[Any] = []

    async def endpoint(request: Request) -> Response:
        seen.append((request.headers, await request.json()))
        return answers[min(len(seen), len(answers)) - 1]

    return endpoint, seen


def test_the_payload_is_posted_with_the_session_and_own_headers(rollout) -> None:
    endpoint, seen = answering(JSONResponse({"status": "accepted"}))
    request = rollout()
    assert launch(endpoint, request, headers={"X-Desk": "7"}) is None
    ((headers, payload),) = seen
    assert payload == json.loads(json.dumps(request.payload()))
    assert headers["x-amzn-bedrock-agentcore-runtime-session-id"] == "t-5f2c"
    assert (headers["content-type"], headers["x-desk"]) == ("application/json", "7")


def test_any_path_can_be_named_and_connections_are_reused(rollout) -> None:
    peers: list[Any] = []

    async def endpoint(request: Request) -> Response:
        peers.append(request.client)
        return JSONResponse({"reward": 1.0})

    async def go() -> None:
        path = "/agents/desk/invocations"
        async with serving(agents__desk__invocations=endpoint) as url, agent_at(url + path) as agent:
            for _ in range(3):
                assert await agent.launch(rollout()) is None  # what it reports counts, not what it answers

    asyncio.run(go())
    assert len(peers) == 3
    assert len(set(peers)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"status": "accepted"}, status_code=202),
        JSONResponse({"reward": 1.0}),
        JSONResponse(["done"]),
        JSONResponse(None),
        Response(status_code=204),
    ],
)
def test_any_success_leaves_it_to_the_runtime_calls(answer: Response, rollout) -> None:
    endpoint, _ = answering(answer)
    assert launch(endpoint, rollout()) is None


def test_a_status_error_is_reported(rollout) -> None:
    endpoint, _ = answering(JSONResponse({"status": "error", "error": "no order for tw1.all"}))
    assert launch(endpoint, rollout()) == AgentReport(error="no order for [key]")


@pytest.mark.parametrize("body", [b"<html>", b"\xff\xfe", b"[" * 100_000, b"x" * (3 << 20)])
def test_garbage_is_ignored_and_named_once(body: bytes, rollout, caplog) -> None:
    endpoint, seen = answering(Response(body))

    async def go() -> None:
        async with serving(rollout=endpoint) as url, agent_at(url) as agent:
            assert await agent.launch(rollout()) is None
            assert await agent.launch(rollout()) is None

    with caplog.at_level(logging.WARNING):
        asyncio.run(go())
    assert len(seen) == 2
    assert caplog.text.count("is not JSON and is ignored") == 1


def test_an_endless_answer_is_not_read_to_its_end(rollout) -> None:
    async def go() -> None:
        sent = 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x" * 65536)
                sent += 65536
                try:
                    await writer.drain()
                except ConnectionError:
                    break

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, agent_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as agent:
            assert await agent.launch(rollout()) is None
        assert sent < 64 << 20  # what the sockets' buffers took

    asyncio.run(go())


@pytest.mark.parametrize(
    ("status", "cause", "said"),
    [
        (400, "agent_error", r"answered 400 \(ValidationError\): no prompt$"),
        (401, "agent_error", r"answered 401 \(ValidationError\): no prompt; give the headers it wants"),
        (403, "agent_error", r"answered 403 \(AccessDenied\)"),
        (404, "agent_error", "serve that path, or name the one it serves in the agent's URL"),
        (500, "agent_error", r"answered 500 \(InternalServerError\): no prompt"),
        (502, "agent_unreachable", "answered 502"),
        (504, "agent_unreachable", "answered 504"),
    ],
)
def test_a_refusal_fails_the_attempt_at_once(status: int, cause: str, said: str, rollout) -> None:
    endpoint, seen = answering(PlainTextResponse("no prompt", status_code=status))
    with pytest.raises(AgentError, match=said) as caught:
        launch(endpoint, rollout())
    assert (caught.value.cause, len(seen)) == (cause, 1)


def test_a_redirect_names_the_address_to_set(rollout) -> None:
    endpoint, _ = answering(Response(status_code=307, headers={"location": "https://desk.example/rollout"}))
    with pytest.raises(AgentError, match=r"redirected to https://desk\.example/rollout: set the agent's URL"):
        launch(endpoint, rollout())


@pytest.mark.parametrize("status", [429, 503])
def test_an_agent_that_is_busy_is_asked_again(status: int, rollout) -> None:
    endpoint, seen = answering(Response(status_code=status), Response(status_code=status), JSONResponse({}))
    with stamina.set_testing(True, attempts=9, cap=True):  # no pauses
        assert launch(endpoint, rollout(), attempts=3) is None
        assert len(seen) == 3
        seen.clear()
        with pytest.raises(AgentError, match=rf"answered {status} .*; offered at most 2 times") as caught:
            launch(endpoint, rollout(), attempts=2)
    assert (caught.value.cause, len(seen)) == ("agent_unreachable", 2)


def test_the_pause_is_the_one_that_the_agent_asks_for(rollout) -> None:
    endpoint, _ = answering(Response(status_code=429, headers={"retry-after": "0.3"}), JSONResponse({}))
    began = time.monotonic()
    assert launch(endpoint, rollout()) is None
    assert time.monotonic() - began >= 0.3
    endpoint, seen = answering(Response(status_code=503, headers={"retry-after": "3600"}))
    with pytest.raises(AgentError, match="answered 503"):
        launch(endpoint, rollout())
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, now=100.0) == seconds


def test_a_refused_connection_and_an_unknown_name_are_tried_again_then_unreachable(rollout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def go(url: str) -> None:
        async with agent_at(url, attempts=2) as agent:
            with pytest.raises(AgentError, match=r"ConnectError: .*; offered at most 2 times") as caught:
                await agent.launch(rollout())
            assert caught.value.cause == "agent_unreachable"

    with stamina.set_testing(True, attempts=9, cap=True):
        asyncio.run(go(f"http://127.0.0.1:{port}"))
        asyncio.run(go("http://desk.invalid"))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", b"nonsense\r\n\r\n"])
def test_a_connection_that_breaks_after_the_request_is_not_tried_again(answer: bytes, rollout) -> None:
    async def go() -> None:
        async with speaking(answer) as (url, seen), agent_at(url) as agent:
            with pytest.raises(AgentError, match="broke after the rollout had been sent") as caught:
                await agent.launch(rollout())
            assert (caught.value.cause, len(seen)) == ("agent_error", 1)

    asyncio.run(go())


def test_an_agent_that_does_not_answer_in_time(rollout) -> None:
    async def hang(request: Request) -> Response:
        await asyncio.sleep(1)
        return JSONResponse({})

    with pytest.raises(AgentError, match=r"/rollout was not answered within 0\.1 s") as caught:
        launch(hang, rollout(), timeout=0.1)
    assert caught.value.cause == "agent_timeout"


def test_cancelling_a_launch_hangs_up(rollout) -> None:
    async def go() -> None:
        entered, left = asyncio.Event(), asyncio.Event()

        async def hang(request: Request) -> Response:
            entered.set()
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
            left.set()
            return JSONResponse({})

        async with serving(rollout=hang) as url, agent_at(url) as agent:
            launching = asyncio.create_task(agent.launch(rollout()))
            await entered.wait()
            launching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await launching
            await asyncio.wait_for(left.wait(), 5)

    asyncio.run(go())


def test_more_launches_than_the_usual_pool_work_at_once(rollout) -> None:
    async def go() -> None:
        everyone = asyncio.Barrier(120)

        async def meet(request: Request) -> Response:
            await everyone.wait()
            return JSONResponse({})

        async with serving(rollout=meet) as url, agent_at(url) as agent:
            await asyncio.gather(*(agent.launch(rollout()) for _ in range(120)))

    asyncio.run(go())


def test_the_check_tries_health_and_ping_beside_the_path() -> None:
    async def fine(request: Request) -> Response:
        return JSONResponse({"status": "Healthy"})

    async def go() -> None:
        async with serving(health=fine, ping=fine) as url:
            async with agent_at(url) as agent:
                assert await agent.check() == f'GET {url}/health answered 200 {{"status":"Healthy"}}'
            async with agent_at(f"{url}/invocations") as agent:
                assert await agent.check() == f'GET {url}/ping answered 200 {{"status":"Healthy"}}'
        async with serving(desk__ping=fine) as url:
            async with agent_at(f"{url}/desk/rollout") as agent:
                assert (await agent.check()).startswith(f"GET {url}/desk/ping answered 200")
            async with agent_at(url.replace("://", "://me:secret@")) as agent:
                with pytest.raises(AgentError) as caught:
                    await agent.check()
        complaint = f"GET {url}/health answered 404 Not Found; GET {url}/ping answered 404 Not Found: serve one of them"
        assert caught.value.detail.startswith(complaint)
        async with agent_at(url) as agent:
            with pytest.raises(AgentError, match="is the agent running there") as caught:
                await agent.check()
        assert caught.value.cause == "agent_unreachable"

    asyncio.run(go())


@pytest.mark.parametrize("url", ["", "desk:8080", "ftp://desk", "http://", "http://desk:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="the agent's URL"):
        HttpAgent(url, timeout=1)
