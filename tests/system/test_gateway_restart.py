"""kill -9: a run goes on with every attempt that was rewarded, and a gateway knows what it knew."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from system.gateway_at_work import ANSWER, MESSAGES, Visit, shipped_renderer, until
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Rewarded
from turnwright.gateway.http.server import GatewayServer, bind
from turnwright.rundir import RunReader
from turnwright.rundir.record_log import recover

pytestmark = pytest.mark.slow

RECIPE = """
[environment]
name = "prompts"
options = {{ train = "{tasks}" }}

[agent]
kind = "http"
target = "{agent}"

[run]
output_dir = "{runs}"
name = "killed"

[model]
path = "{model}"

[algorithm]
group_size = 2
global_batch_size = 2

[sampling]
sampling_max_tokens = 8
max_turns = 2

[schedule]
max_steps = 2
val_every = 0
save_every = 1

[inference]
kv_memory_mb = 16
"""
ATTEMPTS_PER_STEP = 4
SECONDS = 120.0

GATEWAY = """
import asyncio, sys
from pathlib import Path
from system.gateway_at_work import at_work

async def main():
    async with at_work(Path(sys.argv[1]), delay_seconds=float(sys.argv[2])) as work:
        print(work.opened.url, work.opened.credentials.mint(None, ("control",)), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@dataclass
class Desk:
    """An agent behind HTTP that rewards every second rollout; in the second step it dawdles until it is let go."""

    arrived: list[str] = field(default_factory=list[str])
    """Trajectories in the order in which their rollouts came."""
    waiting: list[str] = field(default_factory=list[str])
    """What the agent has got to where it dawdles."""
    dawdles: bool = True
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def rollout(self, request: Request) -> Response:
        visit = Visit(await request.json(), [])
        self.arrived.append(visit.trajectory_id)
        number = len(self.arrived)
        # Rollouts 5 to 8 are those of the second step: one ends, the others stop ever earlier.
        stages = {6: "rewarded", 7: "sampled", 8: "launched"} if self.dawdles else {}
        stage = stages.get(number, "")
        if stage != "launched":
            await visit.say()
        if stage not in ("launched", "sampled"):
            await visit.complete()
            await visit.reward(float(number % 2))
        if stage:
            self.waiting.append(stage)
            await self.let_go.wait()
        return JSONResponse({})

    def app(self) -> Starlette:
        async def health(request: Request) -> Response:
            return JSONResponse({})

        return Starlette(routes=[Route("/rollout", self.rollout, methods=["POST"]), Route("/health", health)])


async def start(environment: Mapping[str, str], *words: object) -> asyncio.subprocess.Process:
    """Start Python."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, words),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def kill(process: asyncio.subprocess.Process) -> None:
    """End a process as a machine does that runs out of memory."""
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    assert process.returncode == -signal.SIGKILL


def finished(run: Path, step: int) -> dict[EpisodeKey, Attempt]:
    """What has ended of a step, closed or not."""
    reader = RunReader(run)
    open_groups = [found for found in reader.open_groups() if found.group.version == step - 1]
    attempts = [*reader.attempts(step), *(attempt for found in open_groups for attempt in found.attempts)]
    return {attempt.episode.key: attempt for attempt in attempts}


def test_a_killed_run_is_resumed_without_losing_an_attempt_that_was_rewarded(
    tmp_path: Path, small_model: Path, child_environment: dict[str, str]
) -> None:
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps({"prompt": f"order: O{i}"}) + "\n" for i in range(4)))
    environment = {**child_environment, "OMP_NUM_THREADS": "1"}
    recipe, run = tmp_path / "run.toml", tmp_path / "runs" / "killed"

    async def train(*words: object) -> asyncio.subprocess.Process:
        return await start(environment, "-m", "turnwright.cli", "train", *words)

    async def main() -> None:
        desk = Desk()
        async with GatewayServer(desk.app(), bind(), grace_seconds=0.1) as server:
            recipe.write_text(
                RECIPE.format(
                    tasks=tmp_path / "tasks.jsonl", agent=server.url, runs=tmp_path / "runs", model=small_model
                )
            )
            process = await train(recipe)
            try:
                await until(lambda: len(desk.waiting) == 3 and len(finished(run, 2)) == 1, seconds=SECONDS)
            finally:
                await kill(process)
            ended, rewarded, sampled, launched = (
                {found.opened.trajectory_id: found for found in recover(run / "records")}[name]
                for name in desk.arrived[ATTEMPTS_PER_STEP:]
            )
            assert [found.state for found in (ended, rewarded, sampled, launched)] == [
                "rewarded",
                "rewarded",
                "interrupted",
                "interrupted",
            ]
            assert set(finished(run, 2)) == {ended.opened.key}, "the other one is in the gateway's log alone"

            desk.dawdles = False
            desk.let_go.set()
            resumed = await train("--resume", run)
            _, errors = await asyncio.wait_for(resumed.communicate(), SECONDS)
            assert (resumed.returncode, errors) == (0, b"")

        assert len(desk.arrived) == 2 * ATTEMPTS_PER_STEP + 2, "only the interrupted ones are made again"
        status = RunReader(run).status()
        assert status is not None
        assert (status.phase, status.step) == ("finished", 2)
        trained = finished(run, 2)
        assert len(trained) == ATTEMPTS_PER_STEP
        assert not any(isinstance(attempt.episode.outcome, Failed) for attempt in trained.values())
        for found in (ended, rewarded):
            assert trained[found.opened.key] == found.attempt()
        (metrics,) = (line for line in RunReader(run).metrics() if line["step"] == 2)
        assert metrics["training/delivered_fraction"] == 1.0

    asyncio.run(main())


@asynccontextmanager
async def gateway(
    records: Path, environment: Mapping[str, str], *, delay: float
) -> AsyncGenerator[tuple[Callable[[], Awaitable[Visit]], asyncio.subprocess.Process]]:
    """A gateway in a process of its own, killed in the end; yields what opens a trajectory there."""
    process = await start(environment, "-c", GATEWAY, records, delay)
    assert process.stdout is not None
    try:
        url, token = (await asyncio.wait_for(process.stdout.readline(), SECONDS)).decode().split()
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:

            async def open_trajectory() -> Visit:
                answer = await client.post("/control/rollouts", json={"prompt": "order: O3"})
                assert answer.status_code == 200, answer.text
                return Visit(answer.json(), [])

            yield open_trajectory, process
    finally:
        await kill(process)


async def begin_reply(visit: Visit, *messages: Mapping[str, Any]) -> None:
    """Ask for a stream and return when the reply has begun."""
    async with httpx2.AsyncClient(base_url=visit.url, headers=visit.headers, timeout=30) as client:
        body = {"messages": messages, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if '"content":"' in line and '"content":""' not in line:
                    return


def test_a_gateway_killed_in_the_middle_of_a_turn_knows_what_it_answered(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    async def main() -> None:
        async with gateway(tmp_path, child_environment, delay=0.05) as (open_trajectory, _):
            rewarded, ready, failed, talking, early, opened = [await open_trajectory() for _ in range(6)]
            for visit in (rewarded, ready, failed, talking, early):
                answer = await visit.say()
                assert answer.json()["choices"][0]["message"]["content"] == ANSWER
            for visit in (rewarded, ready):
                await visit.complete()
            await rewarded.reward(0.5)
            await failed.complete(Status="failed", Detail="no such order")
            await early.reward(1.0)
            assistant = {"role": "assistant", "content": ANSWER}
            await begin_reply(talking, *MESSAGES, assistant, {"role": "user", "content": "and O4?"})

        found = {trajectory.opened.trajectory_id: trajectory for trajectory in recover(tmp_path)}
        assert {name: trajectory.state for name, trajectory in found.items()} == {
            rewarded.trajectory_id: "rewarded",
            ready.trajectory_id: "ready",
            failed.trajectory_id: "failed",
            talking.trajectory_id: "interrupted",
            early.trajectory_id: "interrupted",
            opened.trajectory_id: "interrupted",
        }
        assert found[rewarded.trajectory_id].outcome == Rewarded(value=0.5)
        assert found[failed.trajectory_id].outcome == Failed(cause="agent_error", detail="no such order")
        assert [given.values for given in found[early.trajectory_id].rewards] == [(1.0,)]
        assert not found[opened.trajectory_id].turns
        decode = shipped_renderer().decode
        for visit in (rewarded, ready, failed, talking, early):
            (turn,) = found[visit.trajectory_id].trajectory.turns
            assert decode(turn.sampled_token_ids).startswith(ANSWER), "what the agent was told is on disk"

        # A gateway in the same folder goes on with the log; keys of the dead one are worth nothing there.
        async with gateway(tmp_path, child_environment, delay=0.0) as (open_trajectory, _):
            again = await open_trajectory()
            again.headers, old = rewarded.headers, again.headers
            assert (await again.say()).status_code == 403
            again.headers = old
            await again.say()
            await again.complete()
            await again.reward(0.25)
        later = {trajectory.opened.trajectory_id: trajectory for trajectory in recover(tmp_path)}
        assert later.pop(again.trajectory_id).outcome == Rewarded(value=0.25)
        assert later == found

    asyncio.run(main())
