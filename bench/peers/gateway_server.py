"""The server of bench/gateway.py, in a process of its own.

    python -m peers.gateway_server full|no_record|echo FOLDER TRAJECTORIES TURNS

It opens the trajectories, prints one JSON line with its URL and their ids and tokens, and serves. Each line on its
standard input is answered by one JSON line with the event loop's delays since the line before; at the end of the input
it closes everything and ends.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from peers.conversations import ATTEMPTS, reply_text
from peers.no_record import BareDesk, BareLine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from turnwright.core.episode import EpisodeKey
from turnwright.core.task import Task
from turnwright.gateway.credentials import Credentials
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.http.app import build_app
from turnwright.gateway.http.server import GatewayServer, Listener, bind
from turnwright.gateway.limits import GatewayLimits
from turnwright.gateway.sampling import SamplingLimits
from turnwright.inference.base import Generation, GenerationRequest, TokenListener
from turnwright.inference.scripted import ScriptedEngine
from turnwright.launch.garbage import startup_frozen
from turnwright.models.paths import SHIPPED_POLICY, resolve_model_path
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.record_log import NoLog, RecordLog

JOB_ARN = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/bench"
SAMPLING = SamplingLimits(max_tokens=256)
MAX_SEQUENCE_LENGTH = 4096


class ForgetfulEngine(ScriptedEngine):
    """Keeps no requests, so that what the process holds is the gateway's."""

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        """Answer from the script."""
        self.requests.clear()
        return await super().generate(request, on_tokens)


class LoopMonitor:
    """Measures how late the event loop comes to what is due.

    A loop that is busy for a second is late for everything that falls due in that second: each such instant counts,
    and not only the one at which the monitor itself was to wake up.
    """

    STEP_SECONDS = 0.005

    def __init__(self) -> None:
        """Start without samples."""
        self._delays: list[float] = []

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.STEP_SECONDS
            await asyncio.sleep(self.STEP_SECONDS)
            delay = loop.time() - due
            while delay > 0:
                self._delays.append(delay)
                delay -= self.STEP_SECONDS

    def take(self) -> dict[str, float]:
        """Return the delays in milliseconds and start anew."""
        delays, self._delays = sorted(self._delays) or [0.0], []
        return {
            "delay_p50_ms": delays[len(delays) // 2] * 1000,
            "delay_p99_ms": delays[int(len(delays) * 0.99)] * 1000,
            "delay_max_ms": delays[-1] * 1000,
        }


async def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=("full", "no_record", "echo"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("trajectories", type=int)
    parser.add_argument("turns", type=int)
    options = parser.parse_args()
    listener = bind()
    async with _app(options, listener) as (app, rollouts), GatewayServer(app, listener) as server:
        monitor = LoopMonitor()
        watching = asyncio.create_task(monitor.run())
        print(json.dumps({"url": server.url, "rollouts": rollouts}), flush=True)
        with startup_frozen():
            while await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps(monitor.take()), flush=True)
        watching.cancel()


@asynccontextmanager
async def _app(options: argparse.Namespace, listener: Listener) -> AsyncGenerator[tuple[Starlette, list[list[str]]]]:
    """Build the app of a variant, with its trajectories open, and close its log at the end."""
    if options.variant == "echo":
        yield Starlette(routes=[Route("/{path:path}", _echo, methods=["POST"])]), _nobody(options.trajectories)
        return
    renderer = Renderer.load(resolve_model_path(SHIPPED_POLICY))
    engine = ForgetfulEngine(
        renderer.tokenizer,
        lambda request: reply_text(request.key, request.turn, options.turns),
        max_sequence_length=MAX_SEQUENCE_LENGTH,
    )
    log = RecordLog(options.folder) if options.variant == "full" else NoLog()
    gateway = Gateway(
        renderer=renderer,
        engine=engine,
        job_arn=JOB_ARN,
        model_name=SHIPPED_POLICY,
        run_seed=0,
        limits=GatewayLimits(),
        sampling_rule="run",
        credentials=Credentials(job_arn=JOB_ARN),
        log=log,
        endpoint=listener.url,
    )
    keys = [EpisodeKey(task_id=f"task-{i // ATTEMPTS}", attempt=i % ATTEMPTS) for i in range(options.trajectories)]
    sessions = await asyncio.gather(
        *(
            gateway.open(Task(id=key.task_id, prompt=key.task_id), key, sampling=SAMPLING, own_engine_episode=True)
            for key in keys
        )
    )
    rollouts = [[session.name, gateway.request_for(session).api_key] for session in sessions]
    if options.variant == "full":
        app = build_app(gateway, gateway=gateway)
    else:
        lines = {
            session.name: BareLine(session.name, session.key, renderer=renderer, engine=engine, sampling=SAMPLING)
            for session in sessions
        }
        desk = BareDesk(gateway, lines)
        app = build_app(desk)
        app.router.routes.append(Route("/complete-rollout", desk.report, methods=["POST"]))
        app.router.routes.append(Route("/update-reward", desk.report, methods=["POST"]))
    try:
        yield app, rollouts
    finally:
        await log.close()


async def _echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/json")


def _nobody(count: int) -> list[list[str]]:
    return [[f"t-{number}", "none"] for number in range(count)]


if __name__ == "__main__":
    asyncio.run(main())
