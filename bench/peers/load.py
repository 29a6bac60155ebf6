"""The load generator of bench/gateway.py: a thousand agents on raw connections, as lean as Python allows.

Each agent has one connection that it keeps, and calls again as soon as it has its reply. A client library would cost
several times what the server costs; here a request is a few pieces of bytes joined, and a response is its status and
its body.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from peers.conversations import Conversation, Dialect

LIMIT = 2**20
"""Bytes that a reader may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What a phase of load came to."""

    seconds: float
    latencies: tuple[float, ...]
    """Seconds of each call, sorted."""

    @property
    def rate(self) -> float:
        """Calls per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency in milliseconds that ``share`` of the calls stay below."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] * 1000


class Agents:
    """Agents of all trajectories of one server.

    Example::

        agents = Agents(url, rollouts, ["chat", "chat", "anthropic"])
        calls = await agents.converse(turns=10)
        reports = await agents.report()
    """

    def __init__(self, url: str, rollouts: Sequence[Sequence[str]], dialects: Sequence[Dialect]) -> None:
        """Give each rollout an agent; they take the dialects in turn."""
        self._url = url
        self._conversations = [
            Conversation(number, dialects[number % len(dialects)], rollout) for number, rollout in enumerate(rollouts)
        ]
        self._connections: list[_Connection] = []

    async def converse(self, *, turns: int, rate: float | None = None) -> Calls:
        """Make all calls.

        Args:
            turns: Calls of each agent.
            rate: Let the agents begin one after the other, so that so many calls come per second; None = all at once.
        """
        self._connections = [_Connection(self._url) for _ in self._conversations]
        began = time.perf_counter()
        latencies = await asyncio.gather(
            *(
                _converse(connection, agent, turns=turns, wait=number * turns / rate if rate else 0.0)
                for number, (connection, agent) in enumerate(zip(self._connections, self._conversations, strict=True))
            )
        )
        seconds = time.perf_counter() - began
        return Calls(seconds=seconds, latencies=tuple(sorted(latency for some in latencies for latency in some)))

    async def report(self) -> Calls:
        """Complete and reward every trajectory."""
        began = time.perf_counter()
        latencies = await asyncio.gather(
            *(
                _report(connection, agent, reward=reward_of(number))
                for number, (connection, agent) in enumerate(zip(self._connections, self._conversations, strict=True))
            )
        )
        seconds = time.perf_counter() - began
        return Calls(seconds=seconds, latencies=tuple(sorted(latency for some in latencies for latency in some)))

    async def close(self) -> None:
        """Hang up."""
        await asyncio.gather(*(connection.close() for connection in self._connections))


def reward_of(number: int) -> float:
    """Return the reward that an agent gives its trajectory."""
    return number / 1000


async def _converse(connection: "_Connection", agent: Conversation, *, turns: int, wait: float) -> list[float]:
    if wait:
        await asyncio.sleep(wait)
    latencies: list[float] = []
    for _ in range(turns):
        body = agent.body()
        began = time.perf_counter()
        reply = await connection.post(agent.head, body)
        latencies.append(time.perf_counter() - began)
        agent.take(reply)
    return latencies


async def _report(connection: "_Connection", agent: Conversation, *, reward: float) -> list[float]:
    latencies: list[float] = []
    trajectory = {"TrajectoryId": agent.trajectory_id}
    for path, report in (("complete-rollout", trajectory), ("update-reward", {**trajectory, "Rewards": [reward]})):
        head = agent.head.replace(agent.head.split(b" ", 2)[1], f"/{path}".encode(), 1)
        began = time.perf_counter()
        await connection.post(head, json.dumps(report).encode())
        latencies.append(time.perf_counter() - began)
    return latencies


class _Connection:
    """One HTTP/1.1 connection that is kept."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname, address.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, head: bytes, body: bytes) -> bytes:
        """Send a request and return the response's body; anything but a 200 ends the bench."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=LIMIT)
        reader, writer = self._streams
        writer.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.find(b"content-length: ")
        if length >= 0:
            content = await reader.readexactly(int(answer[length + 16 : answer.index(b"\r\n", length)]))
        else:
            content = await _chunks(reader)
        if answer[9:12] != b"200":
            raise RuntimeError(f"a call must be answered with 200: got {answer.decode()}{content.decode()}")
        return content

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body."""
    pieces: list[bytes] = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(pieces)
