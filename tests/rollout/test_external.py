"""Agents outside this process as episode runners: every row of the module's table, clocks, and what is left behind."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from system.gateway_at_work import ANSWER, TASK, AtWork, Visit, at_work, settings, until
from turnwright.agents.base import AgentLauncher
from turnwright.agents.function import FunctionAgent
from turnwright.agents.http import HttpAgent
from turnwright.agents.queue import QueueLauncher, RolloutQueue
from turnwright.agents.subprocess import SubprocessAgent
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.rollout import RolloutRequest
from turnwright.gateway.http.server import GatewayServer, bind
from turnwright.gateway.refusals import Refusal
from turnwright.rollout import external
from turnwright.rollout.collector import Wanted, collect_attempts
from turnwright.rollout.external import AgentRunner
from turnwright.rundir.record_log import recover

pytestmark = pytest.mark.slow

Launching = Callable[[AtWork], AbstractAsyncContextManager[AgentLauncher]]
PATIENCE_SECONDS = 3.0
ASK = (
    "import json, os, urllib.request as u\n"
    "e = os.environ\n"
    "call = u.Request(e['OPENAI_BASE_URL'] + '/chat/completions', method='POST',\n"
    "    headers={'authorization': 'Bearer ' + e['OPENAI_API_KEY']},\n"
    "    data=json.dumps({'messages': [{'role': 'user', 'content': 'order: O3'}]}).encode())\n"
    "u.urlopen(call).read()\n"
)
"""A program that asks the policy once, with the key that may only sample."""


def function(agent: Callable[[Visit], Awaitable[object]]) -> Launching:
    @asynccontextmanager
    async def launching(work: AtWork) -> AsyncGenerator[AgentLauncher]:
        async def rollout(payload: dict[str, Any]) -> object:
            return await agent(Visit(payload, []))

        yield FunctionAgent(rollout)

    return launching


def http(agent: Callable[[Visit], Awaitable[Response]]) -> Launching:
    @asynccontextmanager
    async def launching(work: AtWork) -> AsyncGenerator[AgentLauncher]:
        async def rollout(request: Request) -> Response:
            return await agent(Visit(await request.json(), []))

        app = Starlette(routes=[Route("/rollout", rollout, methods=["POST"])])
        async with GatewayServer(app, bind(), grace_seconds=0.1) as server:
            launcher = HttpAgent(server.url, timeout=30, attempts=1)
            yield launcher
            await launcher.close()

    return launching


def program(source: str) -> Launching:
    @asynccontextmanager
    async def launching(work: AtWork) -> AsyncGenerator[AgentLauncher]:
        yield SubprocessAgent([sys.executable, "-c", source], timeout=30)

    return launching


def queued(
    worker: Callable[[RolloutQueue], Awaitable[None]], *, patience_seconds: float = 30.0, lease_seconds: float = 30.0
) -> Launching:
    """A queue, and one worker that does ``worker``."""

    @asynccontextmanager
    async def launching(work: AtWork) -> AsyncGenerator[AgentLauncher]:
        queue = RolloutQueue(
            capacity=8,
            lease_seconds=lease_seconds,
            max_deliveries=1,
            has_sampled=lambda name: work.opened.gateway.session(name).num_calls > 0,
        )
        working = asyncio.ensure_future(worker(queue))
        yield QueueLauncher(queue, patience_seconds=patience_seconds)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        queue.close()

    return launching


async def raises(visit: Visit) -> object:
    await visit.say()
    raise ValueError("no such order")


async def answers_500(visit: Visit) -> Response:
    return Response("broken", status_code=500)


async def says_failed(visit: Visit) -> Response:
    await visit.say()
    await visit.complete(Status="failed", Detail="no such order")
    return JSONResponse({})


async def answers_error(visit: Visit) -> Response:
    return JSONResponse({"status": "error", "error": "no such order"})


async def nothing(visit: Visit) -> None: ...


async def rewards_itself(visit: Visit) -> float:
    return 1.0


async def accepts(visit: Visit) -> Response:
    return JSONResponse({"status": "accepted"})


async def asks(visit: Visit) -> None:
    await visit.say()


async def asks_over_http(visit: Visit) -> Response:
    await visit.say()
    return JSONResponse({})


async def seals(visit: Visit) -> None:
    await visit.say()
    await visit.complete()


async def hangs(visit: Visit) -> None:
    await visit.say()
    await asyncio.Event().wait()


async def skips(visit: Visit) -> object:
    return {"status": "skipped"}


async def never_comes(queue: RolloutQueue) -> None: ...


async def falls_silent(queue: RolloutQueue) -> None:
    await queue.next("worker", 20)


async def fetches(queue: RolloutQueue) -> RolloutRequest:
    request = await queue.next("worker", 20)
    assert request is not None
    return request


async def falls_silent_at_work(queue: RolloutQueue) -> None:
    await Visit((await fetches(queue)).payload(), []).say()


async def works(queue: RolloutQueue) -> None:
    visit = Visit((await fetches(queue)).payload(), [])
    await visit.say()
    await visit.complete()
    await visit.reward(1.0)


async def returns_reward(visit: Visit) -> object:
    await visit.say()
    return {"reward": 1.0, "components": {"answer": 1.0}}


async def reports(visit: Visit) -> Response:
    await visit.say()
    await visit.complete()
    await visit.reward(1.0)
    return JSONResponse({})


@asynccontextmanager
async def absent(work: AtWork) -> AsyncGenerator[AgentLauncher]:
    listener = bind()
    listener.close()
    launcher = HttpAgent(listener.url, timeout=30, attempts=1)
    yield launcher
    await launcher.close()


@asynccontextmanager
async def no_program(work: AtWork) -> AsyncGenerator[AgentLauncher]:
    yield SubprocessAgent(["/nowhere/agent"], timeout=30)


UNREACHABLE = "cannot be reached"
BREAKS = 'raises, exits with an error, says "failed"'
SILENT = "never asks the policy"
UNREWARDED = "seals, or ends unsealed, without a reward"
ENDLESS = "neither seals nor ends in time"
SKIPS = "says that it skipped the task"
PROGRAM_FAILS = f"{ASK}import sys; sys.exit('no such order')"

FAILURES: dict[str, tuple[str, Launching, float]] = {
    # name: row of the module's table, agent, seconds it has
    "a server that is gone": (UNREACHABLE, absent, 30.0),
    "a program that is not there": (UNREACHABLE, no_program, 30.0),
    "a worker that never comes": (UNREACHABLE, queued(never_comes, patience_seconds=PATIENCE_SECONDS), 30.0),
    "a worker that falls silent": (UNREACHABLE, queued(falls_silent, lease_seconds=0.1), 30.0),
    "a worker that falls silent at work": (UNREACHABLE, queued(falls_silent_at_work, lease_seconds=3.0), 30.0),
    "a function that raises": (BREAKS, function(raises), 30.0),
    "a server that answers 500": (BREAKS, http(answers_500), 30.0),
    "a server that answers an error": (BREAKS, http(answers_error), 30.0),
    "a server that completes as failed": (BREAKS, http(says_failed), 30.0),
    "a program that exits with an error": (BREAKS, program(PROGRAM_FAILS), 30.0),
    "a function that does nothing": (SILENT, function(nothing), 30.0),
    "a function that only returns a reward": (SILENT, function(rewards_itself), 30.0),
    "a server that only accepts": (SILENT, http(accepts), PATIENCE_SECONDS),
    "a program that does nothing": (SILENT, program(""), 30.0),
    "a function that asks and returns": (UNREWARDED, function(asks), 30.0),
    "a program that asks and exits": (UNREWARDED, program(ASK), 30.0),
    "a function that seals and returns": (UNREWARDED, function(seals), PATIENCE_SECONDS),
    "a function that hangs": (ENDLESS, function(hangs), PATIENCE_SECONDS),
    "a server that asks and answers": (ENDLESS, http(asks_over_http), PATIENCE_SECONDS),
    "a function that skips": (SKIPS, function(skips), 30.0),
}
REWARDED: dict[str, Launching] = {
    "a function that returns its reward": function(returns_reward),
    "a server that reports": http(reports),
    "a program that prints its reward": program(f"{ASK}print(json.dumps({{'reward': 1.0}}))"),
    "a worker that reports": queued(works),
}


def stated() -> dict[str, str]:
    """The table in the module's docstring: what an agent does, and the cause of its failure."""
    return dict(re.findall(r'^    (\S.*?)  +Failed\("(\w+)"\)$', external.__doc__ or "", re.MULTILINE))


async def play(work: AtWork, launching: Launching, seconds: float = 60.0) -> Attempt:
    async with launching(work) as launcher:
        return await work.attempt(launcher, timeout_seconds=seconds)


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attempt]:
    """What becomes of all of them side by side at one gateway."""
    agents = {name: (launching, seconds) for name, (_, launching, seconds) in FAILURES.items()}
    agents |= {name: (launching, 60.0) for name, launching in REWARDED.items()}

    async def main() -> list[Attempt]:
        async with at_work(tmp_path_factory.mktemp("records")) as work:
            made = await asyncio.gather(*(play(work, *agent) for agent in agents.values()))
            assert not work.engine.open_episodes
            assert work.opened.gateway.gauges()["trajectories_held"] == 0
            return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external, "FAREWELL_SECONDS", 0.1)
        return dict(zip(agents, asyncio.run(main()), strict=True))


def test_every_row_of_the_table_is_tried() -> None:
    assert {row for row, _, _ in FAILURES.values()} == set(stated())


@pytest.mark.parametrize("name", FAILURES)
def test_what_an_agent_does_wrong_has_the_outcome_that_the_table_says(name: str, attempts: dict[str, Attempt]) -> None:
    outcome = attempts[name].episode.outcome
    assert isinstance(outcome, Failed)
    assert outcome.cause == stated()[FAILURES[name][0]]
    assert outcome.detail


@pytest.mark.parametrize("name", REWARDED)
def test_however_it_is_reached_an_agent_that_does_its_work_is_rewarded(name: str, attempts: dict[str, Attempt]) -> None:
    attempt = attempts[name]
    assert isinstance(attempt.episode.outcome, Rewarded)
    assert attempt.episode.outcome.value == 1.0
    assert [turn.reply.content for turn in attempt.episode.turns] == [ANSWER]
    assert [turn.abandoned for turn in attempt.trajectory.turns] == [False]


def test_components_of_a_returned_reward_are_kept(attempts: dict[str, Attempt]) -> None:
    outcome = attempts["a function that returns its reward"].episode.outcome
    assert outcome == Rewarded(value=1.0, components={"answer": 1.0})


def test_time_runs_from_when_a_worker_fetches_the_rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "FAREWELL_SECONDS", 0.1)
    waiting_seconds, seconds = 1.5, 1.0

    async def late(queue: RolloutQueue) -> None:
        await asyncio.sleep(waiting_seconds)
        await works(queue)

    async def late_and_silent(queue: RolloutQueue) -> None:
        await asyncio.sleep(waiting_seconds)
        await fetches(queue)

    async def main() -> tuple[Attempt, Attempt]:
        async with at_work(tmp_path) as work:
            return await asyncio.gather(play(work, queued(late), seconds), play(work, queued(late_and_silent), seconds))

    rewarded, failed = asyncio.run(main())
    assert rewarded.episode.outcome == Rewarded(value=1.0)
    assert isinstance(failed.episode.outcome, Failed)
    assert failed.episode.outcome.cause == "no_sample"
    assert f"within {seconds} s" in failed.episode.outcome.detail


@pytest.mark.parametrize("agent", ["function", pytest.param("program", marks=pytest.mark.slow), "queue"])
def test_cancellation_leaves_no_task_no_process_and_no_open_trajectory(agent: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    sleeps = (
        f"{ASK}import os, pathlib, time; pathlib.Path({str(started)!r}).write_text(str(os.getpid())); time.sleep(99)"
    )

    async def marks(visit: Visit) -> None:
        await visit.say()
        started.write_text(str(os.getpid()))
        await asyncio.Event().wait()

    async def holds(queue: RolloutQueue) -> None:
        request = await fetches(queue)
        started.write_text(str(os.getpid()))
        while queue.heartbeat(request.trajectory_id, "worker"):
            await asyncio.sleep(0.02)

    launchings = {"function": function(marks), "program": program(sleeps), "queue": queued(holds)}

    async def main() -> None:
        async with at_work(tmp_path / "records") as work, launchings[agent](work) as launcher:
            before = asyncio.all_tasks()
            runner = AgentRunner(gateway=work.opened.gateway, launcher=launcher, engine=work.engine)
            collecting = asyncio.create_task(collect_attempts(runner, [Wanted(task=TASK, attempt=0)], settings()))
            await until(started.exists)
            await until(lambda: bool(started.read_text()))
            (opened,) = recover(work.records)
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            assert collecting.cancelled()
            session = work.opened.gateway.session(opened.opened.trajectory_id)
            assert session.outcome() == Failed(cause="interrupted", detail="the run stopped while the agent worked")
            with pytest.raises(Refusal, match="no longer in memory"):
                session.trajectory()
            assert not work.engine.open_episodes
            # Connections of the server end by themselves; what the run started must not be among the rest.
            mine = ("agent ", "call ", "seal ", "abort ", "reward ", "command")
            assert not [t for t in asyncio.all_tasks() - before if t.get_name().startswith(mine)]
        if agent == "program":
            with pytest.raises(ProcessLookupError):
                os.kill(int(started.read_text()), 0)

    asyncio.run(main())
