"""Everything an agent can do wrong has one outcome, which docs/outcomes.md states; the run goes on after each.

The page's rows are the expectation: this module has an agent for each of them.
"""

import asyncio
import re
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from system.gateway_at_work import ANSWER, MESSAGES, AtWork, Visit, at_work, shipped_renderer
from turnwright.agents.base import AgentLauncher
from turnwright.agents.function import FunctionAgent
from turnwright.agents.http import HttpAgent
from turnwright.agents.subprocess import SubprocessAgent
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.gateway.http.server import GatewayServer, bind
from turnwright.inference.base import GenerationRequest
from turnwright.rollout import external
from turnwright.rollout.tokens import cut_rows
from turnwright.rundir.record_log import recover
from turnwright.rundir.recovery import RecoveredTrajectory

PAGE = Path(__file__).parents[2] / "docs" / "outcomes.md"
PATIENCE_SECONDS = 3.0
"""Time of an attempt whose agent never ends it; each does by then what it does before."""
FIRST = MESSAGES
SECOND = (*MESSAGES, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": "and O4?"})

Agent = Callable[[Visit], Awaitable[object]]
Launching = Callable[[list[int]], AbstractAsyncContextManager[AgentLauncher]]
AGENTS: dict[str, Launching] = {}


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A row of the page."""

    agent: str
    statuses: list[int]
    outcome: str
    """``Rewarded``, ``Truncated("cause")`` or ``Failed("cause")``."""


def stated() -> list[Stated]:
    rows = re.findall(r"^\| (.+?) \| ([-\d, ]+) \| `(.+?)`", PAGE.read_text(), re.MULTILINE)
    return [
        Stated(agent=agent, statuses=[int(status) for status in re.findall(r"\d+", answers)], outcome=outcome)
        for agent, answers, outcome in rows
    ]


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


def kind_of(attempt: Attempt) -> str:
    outcome = attempt.episode.outcome
    match outcome:
        case Rewarded():
            assert outcome.value == 1.0
            return "Rewarded"
        case Truncated():
            assert outcome.value == 1.0
            return f'Truncated("{outcome.cause}")'
        case Failed():
            assert outcome.detail, "a failure says what happened"
            return f'Failed("{outcome.cause}")'


@dataclass(frozen=True, kw_only=True)
class Played:
    """What became of an agent's attempt."""

    attempt: Attempt
    statuses: list[int]
    next: Attempt
    """A good agent's attempt after it."""
    logged: RecoveredTrajectory


def answer(request: GenerationRequest) -> str:
    """Talk past any cap when asked to."""
    return ANSWER * 20 if "talk on" in shipped_renderer().decode(request.prompt_token_ids) else ANSWER


async def play(work: AtWork, row: Stated) -> tuple[Attempt, list[int], Attempt]:
    """Let one agent attempt the task, and a good one after it."""
    statuses: list[int] = []
    never_ends = ("hangs", "answers the launch with garbage and does nothing")
    waits = row.outcome in ('Failed("timeout")', 'Failed("no_reward")') or row.agent.startswith(never_ends)
    async with AGENTS[row.agent](statuses) as launcher:
        attempt = await work.attempt(launcher, timeout_seconds=PATIENCE_SECONDS if waits else 60.0)
    async with AGENTS["asks the policy, seals and rewards"]([]) as fine:
        return attempt, statuses, await work.attempt(fine)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """All agents of the page side by side at one gateway."""
    records = tmp_path_factory.mktemp("records")

    async def main() -> list[tuple[Attempt, list[int], Attempt]]:
        async with at_work(records, answer, max_turns=3, delay_seconds=0.02) as work:
            outcomes = await asyncio.gather(*(play(work, row) for row in stated()))
            assert not work.engine.open_episodes
            assert work.opened.gateway.gauges()["trajectories_held"] == 0
            return outcomes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external, "FAREWELL_SECONDS", 1.5)
        outcomes = asyncio.run(main())
    logged = {found.opened.key: found for found in recover(records)}
    return {
        row.agent: Played(attempt=attempt, statuses=statuses, next=following, logged=logged[attempt.episode.key])
        for row, (attempt, statuses, following) in zip(stated(), outcomes, strict=True)
    }


@pytest.mark.parametrize("row", stated(), ids=lambda row: row.agent)
def test_what_an_agent_does_becomes_what_the_page_says(row: Stated, played: dict[str, Played]) -> None:
    made = played[row.agent]
    assert (kind_of(made.attempt), made.statuses) == (row.outcome, row.statuses)
    assert kind_of(made.next) == "Rewarded", "the next trajectory is served"
    assert made.logged.outcome == made.attempt.episode.outcome, "the record log agrees"
    assert made.logged.trajectory == made.attempt.trajectory


def test_the_page_has_a_row_for_each_agent_and_no_other() -> None:
    assert [row.agent for row in stated()] == list(AGENTS)


def test_a_turn_that_the_agent_never_got_is_recorded_and_not_trained(played: dict[str, Played]) -> None:
    attempt = played["disconnects in the middle of a reply, then asks anew"].attempt
    assert [turn.abandoned for turn in attempt.trajectory.turns] == [True, False]
    assert {index for row in cut_rows(attempt.trajectory) for index in row.turn_index} == {-1, 1}
    assert len(attempt.episode.turns) == 1


def test_a_retry_after_a_disconnect_joins_the_call_it_repeats(played: dict[str, Played]) -> None:
    attempt = played["disconnects in the middle of a reply, then retries"].attempt
    (turn,) = attempt.trajectory.turns
    assert not turn.abandoned
    (trained,) = cut_rows(attempt.trajectory)
    assert trained.num_trained_tokens == len(turn.sampled_token_ids)
