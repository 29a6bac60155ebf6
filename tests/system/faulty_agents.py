"""Agents for each row of docs/outcomes.md: good ones, and one for everything that an agent can do wrong."""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from system.gateway_at_work import ANSWER, MESSAGES, Visit
from turnwright.agents.base import AgentLauncher
from turnwright.agents.function import FunctionAgent
from turnwright.agents.http import HttpAgent
from turnwright.agents.subprocess import SubprocessAgent
from turnwright.gateway.http.server import GatewayServer, bind

PATIENCE_SECONDS = 3.0
"""Time of an attempt whose agent never ends it; each does by then what it does before."""
FIRST = MESSAGES
SECOND = (*MESSAGES, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": "and O4?"})

Agent = Callable[[Visit], Awaitable[object]]
Launching = Callable[[list[int]], AbstractAsyncContextManager[AgentLauncher]]
AGENTS: dict[str, Launching] = {}
"""What reaches the agent of each row; the list gets the status of each answer that the agent sees."""


def row(text: str) -> Callable[[Agent], Agent]:
    """Register a function agent for a row."""

    def register(agent: Agent) -> Agent:
        @asynccontextmanager
        async def launching(statuses: list[int]) -> AsyncGenerator[AgentLauncher]:
            async def rollout(payload: dict[str, Any]) -> object:
                return await agent(Visit(payload, statuses))

            launcher = FunctionAgent(rollout)
            yield launcher
            await launcher.close()

        AGENTS[text] = launching
        return agent

    return register


def served(text: str) -> Callable[[Callable[[Request, list[int]], Awaitable[Response]]], None]:
    """Register an agent behind HTTP for a row."""

    def register(answer: Callable[[Request, list[int]], Awaitable[Response]]) -> None:
        @asynccontextmanager
        async def launching(statuses: list[int]) -> AsyncGenerator[AgentLauncher]:
            async def app(scope: Any, receive: Any, send: Any) -> None:
                await (await answer(Request(scope, receive), statuses))(scope, receive, send)

            async with GatewayServer(app, bind(), grace_seconds=1) as server:
                launcher = HttpAgent(server.url, timeout=30, attempts=1)
                yield launcher
                await launcher.close()

        AGENTS[text] = launching

    return register


def command(text: str, *words: str) -> None:
    """Register a program for a row."""

    @asynccontextmanager
    async def launching(statuses: list[int]) -> AsyncGenerator[AgentLauncher]:
        yield SubprocessAgent(words, timeout=30)

    AGENTS[text] = launching


@row("asks the policy, seals and rewards")
async def good(visit: Visit) -> None:
    await visit.say()
    await visit.complete()
    await visit.reward(1.0)


@row("asks the policy and returns its reward")
async def _(visit: Visit) -> float:
    await visit.say()
    return 1.0


@row("rewards before it seals")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.reward(1.0)
    await visit.complete()


@row("seals twice, then rewards")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.complete()
    require_sealed(await visit.complete())
    await visit.reward(1.0)


@row("repeats its seal and its reward with the same ClientToken")
async def _(visit: Visit) -> None:
    await visit.say()
    for _ in range(2):
        await visit.complete(ClientToken="seal")
    for _ in range(2):
        await visit.reward(1.0, ClientToken="reward")


@row("rewards a second time")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.complete()
    await visit.reward(1.0)
    require_sealed(await visit.reward(0.0))


@row("asks the policy after it sealed, then rewards")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.complete()
    require_sealed(await visit.say(*SECOND))
    await visit.reward(1.0)


@row("sends a reward of NaN, then a good one")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.complete()
    await visit.reward_raw("[NaN]")
    await visit.reward(1.0)


@row("disconnects in the middle of a reply, then asks anew")
async def disconnects(visit: Visit) -> float:
    await visit.hang_up()
    await visit.say()
    await visit.complete()
    await visit.reward(1.0)
    return 1.0


@row("disconnects in the middle of a reply, then retries")
async def retries(visit: Visit) -> None:
    await visit.hang_up()
    await visit.post("/v1/chat/completions", {"messages": FIRST}, **{"x-stainless-retry-count": "1"})
    await visit.complete()
    await visit.reward(1.0)


@row("sends what cannot be read, then goes on")
async def _(visit: Visit) -> None:
    await visit.post("/v1/chat/completions", b'{"messages": [')
    await good(visit)


@row("breaks after its reward")
async def _(visit: Visit) -> None:
    await good(visit)
    raise RuntimeError("the report could not be printed")


@served("answers the launch with garbage and works all the same")
async def _(request: Request, statuses: list[int]) -> Response:
    await good(Visit(await request.json(), statuses))
    return PlainTextResponse("<html>\xff")


@asynccontextmanager
async def accepting(statuses: list[int]) -> AsyncGenerator[AgentLauncher]:
    working: list[asyncio.Future[object]] = []

    async def rollout(payload: dict[str, Any]) -> dict[str, str]:
        working.append(asyncio.ensure_future(good(Visit(payload, statuses))))
        return {"status": "accepted"}

    yield FunctionAgent(rollout)
    await asyncio.gather(*working)


AGENTS["accepts the launch at once and works on"] = accepting


@row("asks more often than max_turns allows")
async def _(visit: Visit) -> None:
    for _ in range(4):
        await visit.say()
    await visit.complete()
    await visit.reward(1.0)


@row("fills the sequence, then seals and rewards")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.say({"role": "user", "content": "order: O3 " * 400})
    await visit.complete()
    await visit.reward(1.0)


@row("gets a reply that its token cap cut")
async def _(visit: Visit) -> None:
    await visit.say({"role": "user", "content": "talk on"})
    await visit.complete()
    await visit.reward(1.0)


@row("breaks before it asks the policy")
async def _(visit: Visit) -> None:
    raise KeyError("gold")


@row("breaks in the middle of a reply")
async def _(visit: Visit) -> None:
    await visit.hang_up()
    raise KeyError("gold")


@row("breaks after it asked the policy")
async def _(visit: Visit) -> None:
    await visit.say()
    raise SystemExit(3)


@row("breaks between seal and reward")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.complete()
    raise KeyError("gold")


@row("says that it failed")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.complete(Status="failed", Detail="no such order")


@row("says that it failed, then rewards 0.0")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.complete(Status="failed")
    await visit.reward(0.0)


@row("returns an error")
async def _(visit: Visit) -> dict[str, str]:
    await visit.say()
    return {"status": "error", "error": "no such order"}


@row("returns a reward that is no number")
async def _(visit: Visit) -> float:
    await visit.say()
    return float("nan")


@served("answers the launch with status 500")
async def _(request: Request, statuses: list[int]) -> Response:
    return PlainTextResponse("Traceback ...", status_code=500)


@asynccontextmanager
async def hanging_up(statuses: list[int]) -> AsyncGenerator[AgentLauncher]:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        launcher = HttpAgent(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=30)
        yield launcher
        await launcher.close()


AGENTS["hangs up on the launch"] = hanging_up
command("is a process that is killed", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
command("is a program that cannot be started", "/nowhere/agent")


@asynccontextmanager
async def absent(statuses: list[int]) -> AsyncGenerator[AgentLauncher]:
    # A bound port that nobody listens on refuses connections, and stays ours meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        launcher = HttpAgent(f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=30, attempts=1)
        yield launcher
        await launcher.close()


AGENTS["is a server that is not there"] = absent


@row("skips the task")
async def _(visit: Visit) -> dict[str, str]:
    return {"status": "skipped"}


@row("returns a reward without asking the policy")
async def _(visit: Visit) -> float:
    return 1.0


@row("seals and rewards without asking the policy")
async def _(visit: Visit) -> None:
    await visit.complete()
    await visit.reward(1.0)


@row("returns without asking the policy")
async def _(visit: Visit) -> None: ...


@served("answers the launch with garbage and does nothing")
async def _(request: Request, statuses: list[int]) -> Response:
    return Response(b'\x00\xff{"status"')


@row("hangs before it asks the policy")
async def _(visit: Visit) -> None:
    await asyncio.Event().wait()


@row("returns without a reward")
async def _(visit: Visit) -> None:
    await visit.say()


@row("seals and never rewards")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.complete()


def rewarding(text: str, rewards: str) -> None:
    @row(text)
    async def _(visit: Visit) -> None:
        await visit.say()
        await visit.complete()
        refused = await visit.reward_raw(rewards)
        assert refused.json()["__type"] == "ValidationException"


rewarding("sends a reward of NaN only", "[NaN]")
rewarding("sends a reward of Infinity only", "[Infinity]")
rewarding("sends a reward of 1e308 only", "[1e308]")
rewarding("sends more rewards than turns", "[0.5, 0.5, 0.5]")
rewarding("sends an empty list of rewards", "[]")
rewarding("sends rewards that are text", '["1.0"]')


@row("gives one reward per turn, then takes another turn")
async def _(visit: Visit) -> None:
    await visit.say()
    await visit.say(*SECOND)
    await visit.reward(0.5, 0.5)
    await visit.say(*SECOND, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": "and O5?"})
    await visit.complete()


@row("hangs after it asked the policy")
async def _(visit: Visit) -> None:
    await visit.say()
    await asyncio.Event().wait()


@asynccontextmanager
async def unsealed(statuses: list[int]) -> AsyncGenerator[AgentLauncher]:
    async def rollout(payload: dict[str, Any]) -> dict[str, str]:
        visit = Visit(payload, statuses)
        await visit.say()
        await visit.reward(1.0)
        return {"status": "accepted"}

    yield FunctionAgent(rollout)


AGENTS["rewards and never seals"] = unsealed


@row("goes on when its time is up")
async def _(visit: Visit) -> None:
    await visit.say()
    await asyncio.sleep(PATIENCE_SECONDS + 0.1)
    require_sealed(await visit.say(*SECOND))
    require_sealed(await visit.complete())
    require_sealed(await visit.reward(1.0))


def require_sealed(answer: Any) -> None:
    """AWS's SDK looks for the text, OpenAI's and Anthropic's clients for the header."""
    body = answer.json()
    message = body["error"]["message"] if "error" in body else body["message"]
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")
    assert message.startswith("Cannot transition trajectory")
