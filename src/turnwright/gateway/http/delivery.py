"""Delivery: brings one exchange to one client, whole or as a stream, for as long as the client is there.

    exchange --answer--> WholeReply ----> one JSON body
             --deltas--> StreamedReply -> events; the last ones only after ``answer``, when the turn is on disk

Whoever leaves early ends only the delivery: sampling goes on in the trajectory, and ``delivered`` is never called.
"""

import asyncio
import json
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from turnwright.gateway.calls import Answer, Exchange, UsedSampling
from turnwright.gateway.dialects.base import Dialect, ReadCall
from turnwright.gateway.http import sse
from turnwright.gateway.http.refusals import refused
from turnwright.gateway.refusals import Refusal

KEEP_ALIVE_SECONDS = 15.0
"""Longest silence in a stream; proxies take a connection for dead after a minute or less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What is brought, and how it is spelled."""

    dialect: Dialect
    read: ReadCall
    exchange: Exchange
    line_name: str
    headers: Mapping[str, str]
    """On every response of this exchange."""
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS

    async def answer(self) -> Answer:
        """Wait for the reply, and for its turn to be on disk; raises Refusal."""
        return await self.exchange.answer(token_texts=self.read.wants_logprobs)


class WholeReply(Response):
    """The reply as one JSON body, or the refusal that came instead."""

    def __init__(self, delivery: Delivery) -> None:
        """Prepare; nothing is waited for yet."""
        self.background = None
        self._delivery = delivery

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the reply and send it."""
        await _while_connected(self._send(scope, receive, send), receive)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = self._delivery
        try:
            answer = await delivery.answer()
        except Refusal as refusal:
            await refused(delivery.dialect, refusal, delivery.headers)(scope, receive, send)
            return
        body = json.dumps(
            delivery.dialect.write(delivery.read, answer, delivery.line_name), separators=(",", ":"), allow_nan=False
        )
        await Response(body, media_type="application/json", headers=delivery.headers)(scope, receive, send)
        delivery.exchange.delivered()


class StreamedReply(Response):
    """The reply as server-sent events. A refusal before the first event is an ordinary error response."""

    def __init__(self, delivery: Delivery) -> None:
        """Prepare; nothing is waited for yet."""
        self.background = None
        self._delivery = delivery

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events as they come."""
        await _while_connected(self._send(scope, receive, send), receive)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = self._delivery
        exchange = delivery.exchange
        stream = _EventStream(send, delivery.headers)
        writer = delivery.dialect.stream(delivery.read, exchange.turn, exchange.created, delivery.line_name)
        pending = writer.start()
        keep_alive = asyncio.create_task(stream.keep_alive(delivery.keep_alive_seconds))
        try:
            async for delta in exchange.deltas():
                pending += writer.delta(delta)
                await stream.write(b"".join(pending))
                pending = []
            answer = await delivery.answer()
        except Refusal as refusal:
            if stream.started:
                await stream.close(b"".join(writer.refuse(refusal)))
            else:
                await refused(delivery.dialect, refusal, delivery.headers)(scope, receive, send)
            return
        finally:
            keep_alive.cancel()
        await stream.close(b"".join([*pending, *writer.finish(answer)]))
        exchange.delivered()


class _EventStream:
    """The response body of a stream; its head goes out with the first bytes."""

    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self.started = False
        self._send = send
        self._headers = {
            **headers,
            "content-type": f"{sse.MEDIA_TYPE}; charset=utf-8",
            "cache-control": "no-cache",
            # Tells nginx not to gather the events.
            "x-accel-buffering": "no",
        }
        self._last_write = time.monotonic()
        self._writing = asyncio.Lock()

    async def write(self, events: bytes) -> None:
        """Send bytes of whole events."""
        await self._write(events, more=True)

    async def close(self, events: bytes) -> None:
        """Send the last events."""
        await self._write(events, more=False)

    async def keep_alive(self, seconds: float) -> None:
        """Break every silence of ``seconds`` with a comment; runs until it is cancelled."""
        while True:
            silence = time.monotonic() - self._last_write
            if silence < seconds:
                await asyncio.sleep(seconds - silence)
            else:
                await self.write(sse.KEEP_ALIVE)

    async def _write(self, events: bytes, *, more: bool) -> None:
        async with self._writing:
            self._last_write = time.monotonic()
            if not self.started:
                self.started = True
                headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers.items()]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": events, "more_body": more})


def spell_sampling(used: UsedSampling) -> str:
    """Return the value of the header ``x-turnwright-sampling``."""
    seed = "none" if used.seed is None else used.seed
    return f"temperature={used.temperature:g}, top_p={used.top_p:g}, max_tokens={used.max_tokens}, seed={seed}"


async def _while_connected(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Run ``work``; it is cancelled as soon as the client is gone."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
    if not working.cancelled():
        working.result()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
