"""The endpoint over real sockets: the product's server in the test's loop, and openai, httpx2 or bare connections."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx2
import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.http.desk import CALLED, SAID, CannedDesk, CannedExchange
from turnwright.core.message import Message
from turnwright.gateway.calls import CallMark
from turnwright.gateway.dialects.base import Dialect
from turnwright.gateway.dialects.openai_chat import OpenAIChat
from turnwright.gateway.dialects.openai_responses import OpenAIResponses
from turnwright.gateway.http.endpoint import mark_of, serve_call
from turnwright.gateway.http.server import GatewayServer, bind
from turnwright.gateway.refusals import Refusal, RefusalCode

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}
STREAM: dict[str, Any] = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
MAX_BODY_BYTES = 20_000
NO_JSON_OBJECT = [
    (b"", "JSON"),
    (b"{", "JSON"),
    (b"[]", "object: got a list"),
    (b'"hi"', "object: got a str"),
    (b"null", "object"),
    (b'{"temperature": NaN}', "NaN"),
    (b'{"temperature": -Infinity}', "-Infinity"),
    (b'{"temperature": 1e999}', "1e999"),
    (b'{"seed": ' + b"9" * 5000 + b"}", "digits"),
    (b"[" * 15_000, "nested"),
    (b'{"a":' * 3_000 + b"1" + b"}" * 3_000, "nested"),
    (b'{"model": "\xff"}', "UTF-8"),
    ('{"model": "x"}'.encode("utf-16"), "UTF-8"),
    (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
    (b'{"\\uDFFF": 1}', "surrogate"),
]
"""Bodies, and a word of what is said about each."""


def app_of(desk: CannedDesk, keep_alive_seconds: float) -> Starlette:
    def route(path: str, dialect: Dialect) -> Route:
        async def endpoint(request: Request) -> Response:
            return await serve_call(
                request, desk, dialect, max_body_bytes=MAX_BODY_BYTES, keep_alive_seconds=keep_alive_seconds
            )

        return Route(path, endpoint, methods=["POST"])

    chat = OpenAIChat()
    return Starlette(
        routes=[route(CHAT, chat), route("/t/{trajectory_id}" + CHAT, chat), route("/v1/responses", OpenAIResponses())]
    )


def serve(desk: CannedDesk, test: Callable[[str], Awaitable[None]], *, keep_alive_seconds: float = 15.0) -> None:
    """Run a test against a server; what is left over is an error."""

    async def run() -> None:
        before = asyncio.all_tasks()
        async with GatewayServer(app_of(desk, keep_alive_seconds), bind()) as server:
            await asyncio.wait_for(test(server.url), 20)
        assert asyncio.all_tasks() == before

    asyncio.run(run())


def post(desk: CannedDesk, body: bytes | dict[str, Any], path: str = CHAT, **options: Any) -> httpx2.Response:
    """Send one request and return its response."""
    return post_all(desk, [body], path, **options)[0]


def post_all(desk: CannedDesk, bodies: Sequence[bytes | dict[str, Any]], path: str = CHAT, **options: Any) -> Any:
    """Send one request after the other to one server and return their responses."""
    responses: list[httpx2.Response] = []

    async def ask(url: str) -> None:
        async with httpx2.AsyncClient() as client:
            for body in bodies:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                responses.append(await client.post(url + path, content=content, **options))

    serve(desk, ask)
    return responses


async def connect(url: str, body: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request over a bare connection."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps(body).encode()
    writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(content)) + content)
    await writer.drain()
    return reader, writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def finish(exchange: CannedExchange) -> None:
    """Let sampling and the log end, and give the endpoint time to do what it must not do."""
    exchange.sampled.set()
    exchange.on_disk.set()
    await asyncio.sleep(0.1)


class TestWholeReply:
    def test_it_answers_and_says_how_it_was_made(self):
        desk = CannedDesk([CALLED])
        response = post(desk, HELLO)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json()["choices"][0]["message"]["content"] == "Let me look."
        assert response.headers["x-turnwright-trajectory"] == "t-1"
        assert response.headers["x-turnwright-turn"] == "0"
        assert response.headers["x-turnwright-sampling"] == "temperature=1, top_p=0.9, max_tokens=64, seed=none"
        ids = {response.headers[name] for name in ("x-request-id", "request-id", "x-amzn-requestid")}
        assert len(ids) == 1
        assert desk.exchanges[0].num_delivered == 1

    def test_the_content_type_does_not_matter(self):
        # boto3 sends none, which is what httpx2 does with bytes.
        assert post(CannedDesk(), HELLO).status_code == 200
        assert post(CannedDesk(), HELLO, headers={"content-type": "text/plain"}).status_code == 200

    def test_it_waits_until_the_turn_is_on_disk(self):
        desk = CannedDesk(blocked=True)

        async def test(url: str) -> None:
            reader, writer = await connect(url, HELLO)
            await until(lambda: desk.exchanges)
            desk.exchanges[0].sampled.set()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            assert desk.exchanges[0].num_delivered == 0
            desk.exchanges[0].on_disk.set()
            await until(lambda: desk.exchanges[0].num_delivered)
            await hang_up(writer)

        serve(desk, test)

    def test_who_leaves_early_is_not_delivered_to(self):
        desk = CannedDesk(blocked=True)

        async def test(url: str) -> None:
            _, writer = await connect(url, HELLO)
            await until(lambda: desk.exchanges)
            await hang_up(writer)
            await asyncio.sleep(0.05)
            await finish(desk.exchanges[0])

        serve(desk, test)
        assert desk.exchanges[0].num_delivered == 0
        assert desk.exchanges[0].num_answers == 0

    def test_who_leaves_within_the_body_never_asks(self):
        desk = CannedDesk()

        async def test(url: str) -> None:
            host, port = url.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{" % CHAT.encode())
            await writer.drain()
            await asyncio.sleep(0.05)
            await hang_up(writer)

        serve(desk, test)
        assert desk.calls == []


class TestStream:
    def test_it_is_a_stream_of_events(self):
        desk = CannedDesk([CALLED])
        response = post(desk, STREAM)
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-turnwright-turn"] == "0"
        assert response.text.endswith("data: [DONE]\n\n")
        assert desk.exchanges[0].num_delivered == 1

    def test_the_last_events_wait_until_the_turn_is_on_disk(self):
        desk = CannedDesk([CALLED], blocked=True)

        async def test(url: str) -> None:
            reader, writer = await connect(url, STREAM)
            await until(lambda: desk.exchanges)
            early = await reader.readuntil(b'"content":"ok."')
            desk.exchanges[0].sampled.set()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readuntil(b"tool_calls"), 0.1)
            assert b"[DONE]" not in early
            assert b'"finish_reason":"' not in early
            assert desk.exchanges[0].num_delivered == 0
            desk.exchanges[0].on_disk.set()
            late = await reader.readuntil(b"[DONE]")
            assert b'"finish_reason":"tool_calls"' in late
            assert b'"total_tokens":14' in late
            await until(lambda: desk.exchanges[0].num_delivered)
            await hang_up(writer)

        serve(desk, test)

    def test_who_leaves_in_the_middle_is_not_delivered_to(self):
        desk = CannedDesk(blocked=True)

        async def test(url: str) -> None:
            reader, writer = await connect(url, STREAM)
            await reader.readuntil(b'"content":"You"')
            await hang_up(writer)
            await asyncio.sleep(0.05)
            await finish(desk.exchanges[0])

        serve(desk, test)
        assert desk.exchanges[0].num_delivered == 0
        assert desk.exchanges[0].num_answers == 0

    def test_silence_is_broken(self):
        desk = CannedDesk([Message(role="assistant")], blocked=True)

        async def test(url: str) -> None:
            reader, writer = await connect(url, STREAM)
            for _ in range(3):
                await reader.readuntil(b": keep-alive\n\n")
            await finish(desk.exchanges[0])
            rest = await reader.readuntil(b"[DONE]")
            assert b'"role":"assistant"' in rest
            await hang_up(writer)

        serve(desk, test, keep_alive_seconds=0.02)
        assert desk.exchanges[0].num_delivered == 1

    def test_a_refusal_before_the_first_event_is_an_ordinary_error(self):
        desk = CannedDesk(refusal=Refusal("throttled", "slow down", retry_after=0.25), refuses="exchange")
        response = post(desk, STREAM)
        assert response.status_code == 429
        assert response.json()["error"]["message"] == "slow down"
        assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("1", "250")
        assert desk.exchanges[0].num_delivered == 0

    def test_a_refusal_after_it_is_an_event(self):
        desk = CannedDesk(refusal=Refusal("internal", "the engine stopped"), refuses="exchange", refuses_after=2)
        response = post(desk, STREAM)
        assert response.status_code == 200
        last = json.loads(response.text.strip().split("\n\n")[-1].removeprefix("data: "))
        assert last["error"]["message"] == "the engine stopped"
        assert desk.exchanges[0].num_delivered == 0


class TestRefusal:
    @pytest.mark.parametrize("refuses", ["line", "ask", "exchange"])
    @pytest.mark.parametrize(
        ("code", "status", "name"),
        [("validation", 400, "ValidationException"), ("conflict", 409, "ConflictException")],
    )
    def test_it_reads_the_same_wherever_it_arises(self, code: RefusalCode, status: int, name: str, refuses: str):
        desk = CannedDesk([SAID, SAID], refusal=Refusal(code, "no"), refuses=refuses)
        for response in post_all(desk, [HELLO, STREAM]):
            assert response.status_code == status
            assert response.headers["x-amzn-errortype"] == response.json()["__type"] == name
            assert response.json()["message"] == response.json()["error"]["message"] == "no"
            assert response.headers.get("x-should-retry") == ("false" if code == "conflict" else None)
            assert "x-request-id" in response.headers


class TestBody:
    def test_what_is_no_json_object_is_refused_in_the_dialects_shape(self):
        desk = CannedDesk()
        responses = post_all(desk, [body for body, _ in NO_JSON_OBJECT])
        for response, (_, says) in zip(responses, NO_JSON_OBJECT, strict=True):
            assert response.status_code == 400
            assert response.json()["error"]["type"] == "invalid_request_error"
            assert says in response.json()["error"]["message"]
        assert desk.calls == []

    def test_whole_surrogate_pairs_are_text(self):
        desk = CannedDesk()
        post(desk, b'{"messages": [{"role": "user", "content": "\\ud83d\\ude00"}]}')
        assert desk.calls[0].messages[0].content == "\U0001f600"

    def test_the_longest_body(self):
        body = json.dumps(HELLO).encode()
        padded = body + b" " * (MAX_BODY_BYTES - len(body))
        assert post(CannedDesk(), padded).status_code == 200
        response = post(CannedDesk(), padded + b" ")
        assert response.status_code == 413
        assert "at most 20000 bytes" in response.json()["error"]["message"]

    def test_a_body_that_does_not_say_its_length_is_not_read_to_its_end(self):
        desk = CannedDesk()
        sent = 0

        async def endless() -> Any:
            nonlocal sent
            while sent < 100_000_000:
                yield b" " * 10_000
                sent += 10_000
                await asyncio.sleep(0)

        async def test(url: str) -> None:
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % CHAT.encode())

            async def pour() -> None:
                async for piece in endless():
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await writer.drain()

            pouring = asyncio.create_task(pour())
            assert (await reader.readline()).startswith(b"HTTP/1.1 413")
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)
            writer.transport.abort()

        serve(desk, test)
        assert sent < 100_000_000
        assert desk.callers == []


class TestCaller:
    def test_what_http_says_reaches_the_desk(self):
        desk = CannedDesk()
        post(desk, HELLO, "/t/t-1" + CHAT + "?a=%20b", headers=[("X-Api-Key", "tw1.x"), ("X-Two", "1"), ("X-Two", "2")])
        (caller,) = desk.callers
        assert (caller.method, caller.path) == ("POST", "/t/t-1" + CHAT + "?a=%20b")
        assert caller.path_trajectory_id == "t-1"
        assert caller.headers["x-api-key"] == "tw1.x"
        assert caller.headers["x-two"] == "1, 2"
        assert json.loads(caller.body) == HELLO
        assert caller.is_loopback

    def test_an_unknown_model_is_tolerated_and_counted(self):
        desk = CannedDesk([SAID, SAID])
        response = post(desk, {**HELLO, "model": "gpt-4o", "user": "u"})
        assert response.json()["model"] == "gpt-4o"
        assert desk.calls[0].ignored == ("user", "model")

    @pytest.mark.parametrize(
        ("headers", "mark"),
        [
            ({}, CallMark()),
            ({"x-stainless-retry-count": "0"}, CallMark()),
            ({"x-stainless-retry-count": "2"}, CallMark(is_retry=True)),
            ({"x-stainless-retry-count": "many"}, CallMark()),
            ({"idempotency-key": "k"}, CallMark(key="k", idempotency=True)),
            (
                {"idempotency-key": "k", "x-stainless-retry-count": "1"},
                CallMark(key="k", idempotency=True, is_retry=True),
            ),
            ({"amz-sdk-invocation-id": "i", "amz-sdk-request": "attempt=1"}, CallMark(key="i")),
            (
                {"amz-sdk-invocation-id": "i", "amz-sdk-request": "ttl=x; attempt=2; max=3"},
                CallMark(key="i", is_retry=True),
            ),
            ({"amz-sdk-invocation-id": "i", "amz-sdk-request": "attempt"}, CallMark(key="i")),
        ],
    )
    def test_marks(self, headers: dict[str, str], mark: CallMark):
        assert mark_of(headers) == mark

    def test_the_mark_reaches_the_line(self):
        desk = CannedDesk()
        post(desk, HELLO, headers={"Idempotency-Key": "k"})
        assert desk.calls[0].mark == CallMark(key="k", idempotency=True)


class TestOpenAIClient:
    def test_chat_and_responses_whole_and_streamed(self):
        desk = CannedDesk([CALLED] * 4)

        async def test(url: str) -> None:
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="tw1.x", max_retries=0) as client:
                chat: Any = {"model": "default", "messages": HELLO["messages"]}
                whole = await client.chat.completions.create(**chat)
                assert whole.choices[0].message.tool_calls is not None
                async with client.chat.completions.stream(**chat) as stream:
                    streamed = await stream.get_final_completion()
                assert streamed.choices[0].message.content == whole.choices[0].message.content == "Let me look."

                response = await client.responses.create(model="default", input="hi")
                async with client.responses.stream(
                    model="default", input="and?", previous_response_id=response.id
                ) as events:
                    final = await events.get_final_response()
                assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
                assert final.output_text == response.output_text == "Let me look."

        serve(desk, test)
        assert [exchange.num_delivered for exchange in desk.exchanges] == [1, 1, 1, 1]
        assert [message.role for message in desk.calls[3].messages] == ["user", "assistant", "user"]

    def test_errors_raise_its_own_classes_and_a_conflict_is_not_tried_again(self):
        desk = CannedDesk(refusal=Refusal("conflict", "Cannot transition trajectory", reason="sealed"))

        async def test(url: str) -> None:
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="tw1.x") as client:
                with pytest.raises(openai.ConflictError, match="Cannot transition trajectory") as caught:
                    await client.chat.completions.create(model="default", messages=[{"role": "user", "content": "hi"}])
                assert caught.value.code == "sealed"
                assert caught.value.request_id

        serve(desk, test)
        assert len(desk.callers) == 1

    @pytest.mark.parametrize("dialect", ["chat", "responses"])
    def test_a_stream_that_breaks_raises(self, dialect: str):
        desk = CannedDesk(refusal=Refusal("internal", "the engine stopped"), refuses="exchange", refuses_after=2)

        async def test(url: str) -> None:
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="tw1.x", max_retries=0) as client:
                stream: Any
                if dialect == "chat":
                    stream = await client.chat.completions.create(**STREAM)
                else:
                    stream = await client.responses.create(model="default", input="hi", stream=True)
                with pytest.raises(openai.APIError, match="the engine stopped"):
                    async for _ in stream:
                        pass

        serve(desk, test)
