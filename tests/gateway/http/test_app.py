"""Every route through real sockets: the anthropic client's episodes, the numbers, and errors in each caller's shape."""

import asyncio
import logging
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from starlette.routing import Route

from gateway.http.serving import SCRIPT, Served, serving
from turnwright.core.outcome import Rewarded
from turnwright.core.rollout import RolloutRequest
from turnwright.core.trajectory import Trajectory
from turnwright.gateway.calls import Caller, Line
from turnwright.gateway.http.app import build_app
from turnwright.gateway.http.server import GatewayServer, bind

pytestmark = pytest.mark.slow

TOOL: Any = {"name": "get_order", "description": "Look an order up.", "input_schema": {"type": "object"}}
ASK: Any = {
    "model": "default",
    "max_tokens": 64,
    "tools": [TOOL],
    "messages": [{"role": "user", "content": "order: O3"}],
}
CHAT = {"messages": [{"role": "user", "content": "order: O3"}]}


def anthropic_client(served: Served, request: RolloutRequest, *, base: str = "") -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=served.url + base, api_key=request.api_key, max_retries=0)


def said(message: anthropic.types.Message) -> Any:
    return [block.to_dict(exclude_none=True) for block in message.content]


async def anthropic_episode(served: Served, *, stream: bool, base: str = "") -> tuple[Trajectory, list[Any]]:
    """Play the script's two turns with the vendor's client; return what was recorded and what the client saw."""
    session, request = await served.open()
    seen: list[Any] = []
    messages: list[Any] = list(ASK["messages"])
    async with anthropic_client(served, request, base=base.format(request.trajectory_id)) as client:
        for _ in SCRIPT:
            if stream:
                async with client.messages.stream(**{**ASK, "messages": messages}) as events:
                    message = await events.get_final_message()
            else:
                message = await client.messages.create(**{**ASK, "messages": messages})
            seen.append([said(message), message.stop_reason, message.usage.to_dict(exclude_none=True)])
            messages.append(message.to_param())
            for block in message.content:
                if block.type == "tool_use":
                    result = {"type": "tool_result", "tool_use_id": block.id, "content": "late"}
                    messages.append({"role": "user", "content": [result]})
    report = {"TrajectoryId": request.trajectory_id}
    await served.post("/complete-rollout", report, request.api_key)
    await served.post("/update-reward", {**report, "Rewards": [1]}, request.api_key)
    assert session.outcome() == Rewarded(value=1.0)
    return session.trajectory(), seen


def tokens(trajectory: Trajectory) -> Any:
    return [(turn.kind, turn.prompt_token_ids, turn.sampled_token_ids, turn.abandoned) for turn in trajectory.turns]


def test_the_anthropic_client_plays_the_same_episode_streamed_and_whole() -> None:
    async def run() -> None:
        async with serving() as served:
            whole, seen = await anthropic_episode(served, stream=False)
            streamed, seen_streamed = await anthropic_episode(served, stream=True)
            assert tokens(whole) == tokens(streamed)
            assert seen == seen_streamed
            assert [turn.kind for turn in whole.turns] == ["root", "clean"]
            assert seen[0][0] == [{"type": "tool_use", "id": "call_0_0", "name": "get_order", "input": {"order": "O3"}}]
            assert [reason for _, reason, _ in seen] == ["tool_use", "end_turn"]
            assert seen[1][0] == [{"type": "text", "text": SCRIPT[1]}]
            assert seen[0][2]["input_tokens"] == len(whole.turns[0].prompt_token_ids)
            assert seen[0][2]["output_tokens"] == len(whole.turns[0].sampled_token_ids)

    asyncio.run(run())


def test_a_base_url_alone_can_carry_the_identity() -> None:
    async def run() -> None:
        async with serving(accept_unscoped=True) as served:
            trajectory, _ = await anthropic_episode(served, stream=True, base="/t/{}")
            assert len(trajectory.turns) == 2

    asyncio.run(run())


def test_a_stop_sequence_is_named() -> None:
    async def run() -> None:
        async with serving(["late: refund it"]) as served:
            _, request = await served.open()
            async with anthropic_client(served, request) as client:
                message = await client.messages.create(**{**ASK, "stop_sequences": ["never", ": "]})
                assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", ": ")
                assert said(message) == [{"type": "text", "text": "late"}]

    asyncio.run(run())


def test_counted_tokens_are_the_prompts() -> None:
    async def run() -> None:
        async with serving() as served:
            session, request = await served.open()
            async with anthropic_client(served, request) as client:
                counted = await client.messages.count_tokens(
                    model="default", messages=ASK["messages"], tools=ASK["tools"]
                )
                await client.messages.create(**ASK)
            assert counted.input_tokens == len(session.trajectory().turns[0].prompt_token_ids)
            body = {"model": "default", "messages": ASK["messages"]}
            refused = await served.post("/v1/messages/count_tokens", body)
            assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")

    asyncio.run(run())


def test_both_vendors_clients_list_the_models() -> None:
    async def run() -> None:
        async with serving() as served:
            _, request = await served.open()
            for prefix in ("", f"/t/{request.trajectory_id}"):
                async with anthropic_client(served, request, base=prefix) as client:
                    assert [model.id async for model in client.models.list()] == ["default", "tiny"]
            async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
                assert [model.id async for model in client.models.list()] == ["default", "tiny"]

    asyncio.run(run())


def test_the_vendors_client_raises_its_own_exceptions() -> None:
    async def run() -> None:
        async with serving() as served:
            _, request = await served.open()
            async with anthropic_client(served, request) as client:
                with pytest.raises(anthropic.BadRequestError, match="prefilled"):
                    await client.messages.create(**{**ASK, "messages": [{"role": "assistant", "content": "A"}]})
                await served.post("/complete-rollout", {"TrajectoryId": request.trajectory_id}, request.api_key)
                with pytest.raises(anthropic.ConflictError, match="Cannot transition trajectory") as caught:
                    await client.messages.create(**ASK)
                assert caught.value.request_id
            async with anthropic.AsyncAnthropic(base_url=served.url, api_key="tw1.x.y", max_retries=0) as client:
                with pytest.raises(anthropic.PermissionDeniedError):
                    await client.messages.create(**ASK)

    asyncio.run(run())


def test_health_says_why_not() -> None:
    async def run() -> None:
        trouble = ""
        async with serving(health=lambda: trouble) as served:
            answer = await served.client.get("/health")
            assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
            trouble = "the engine has stopped"
            answer = await served.client.get("/health")
            assert answer.status_code == 503
            assert answer.json() == {"status": "unhealthy", "detail": "the engine has stopped"}
            assert (await served.client.get("/ping")).json() == {"status": "Healthy"}

    asyncio.run(run())


def test_metrics_count_calls_by_route_and_tell_the_gateways_numbers() -> None:
    async def run() -> None:
        async with serving() as served:
            _, request = await served.open()
            await served.post(f"/t/{request.trajectory_id}/v1/chat/completions", CHAT, request.api_key)
            await served.post("/sample", CHAT)
            answer = await served.client.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            route = '{route="/t/{trajectory_id}/v1/chat/completions",status="200"}'
            assert f"turnwright_http_requests_total{route} 1.0" in answer.text
            assert 'turnwright_http_requests_total{route="/sample",status="403"} 1.0' in answer.text
            assert "turnwright_trajectories_open 1.0" in answer.text
            assert "turnwright_queue_waiting 0.0" in answer.text

    asyncio.run(run())


def test_unknown_paths_and_methods_are_answered_in_the_callers_json() -> None:
    anthropic_shape, openai_shape = {"type", "error", "request_id"}, {"error", "message", "__type"}
    aws_shape = {"message", "__type"}
    expected: list[tuple[str, str, int, set[str]]] = [
        ("GET", "/v1/messages", 405, anthropic_shape),
        ("GET", "/v1/chat/completions", 405, openai_shape),
        ("DELETE", "/complete-rollout", 405, aws_shape),
        ("POST", "/v1/messages/batches", 404, anthropic_shape),
        ("POST", "/v1/embeddings", 404, openai_shape),
        ("GET", "/", 404, aws_shape),
        ("GET", "/health/", 404, aws_shape),
        ("POST", "/t//v1/messages", 404, anthropic_shape),
    ]

    async def run() -> None:
        async with serving() as served:
            for method, path, status, shape in expected:
                answer = await served.client.request(method, path)
                assert (answer.status_code, set(answer.json())) == (status, shape), path
                assert answer.headers["x-request-id"]
                assert ("allow" in answer.headers) == (status == 405)

    asyncio.run(run())


def test_a_body_over_the_limit_is_refused_in_each_shape() -> None:
    async def run() -> None:
        async with serving(max_body_bytes=1000) as served:
            _, request = await served.open()
            for path in ("/v1/messages", "/v1/chat/completions", "/update-reward", "/control/rollouts"):
                answer = await served.post(path, b"[" * 1001, request.api_key)
                assert answer.status_code == 413, path
                assert "1000 bytes" in answer.text

    asyncio.run(run())


class BrokenDesk:
    """Implements Desk, with a bug."""

    model_names = ("default", "tiny")

    def line(self, caller: Caller) -> Line:
        raise ZeroDivisionError("a bug")

    def count_prompt_tokens(self, messages: object, tools: object) -> int:
        return 0


def test_our_own_bug_is_a_500_in_the_callers_shape_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with GatewayServer(build_app(BrokenDesk()), bind()) as server, httpx2.AsyncClient() as client:
            answer = await client.post(f"{server.url}/v1/messages", json=ASK)
            assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")
            assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
            assert (await client.get(f"{server.url}/health")).status_code == 200, "the server lives on"

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


def test_a_client_that_hangs_up_leaves_no_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with serving() as served:
            _, request = await served.open()
            host, port = served.url.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            head = (
                f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {request.api_key}\r\ncontent-length: 90\r\n\r\n"
            )
            writer.write(head.encode() + b'{"model":')
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.close()
            await asyncio.sleep(0.2)
            assert (await served.client.get("/health")).status_code == 200

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert not caplog.records


def test_a_served_checkpoint_has_the_dialects_and_numbers_only() -> None:
    async def run() -> None:
        async with serving() as served:
            app = build_app(served.gateway)
            paths = {route.path for route in app.routes if isinstance(route, Route)}
            assert {"/v1/messages", "/t/{trajectory_id}/v1/responses", "/health", "/metrics"} <= paths
            assert not {path for path in paths if "rollout" in path or "reward" in path or "sample" in path}
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://served") as client:
                described = (await client.get("/openapi.json")).json()["paths"]
            assert set(described) == paths

    asyncio.run(run())
