"""A real gateway on a real socket: scripted engine, tiny tokenizer, no log."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

import turnwright.policies
from turnwright.agents.queue import RolloutQueue
from turnwright.core.episode import EpisodeKey
from turnwright.core.rollout import RolloutRequest
from turnwright.core.task import Task
from turnwright.gateway.credentials import Credentials
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.http.app import build_app
from turnwright.gateway.http.server import GatewayServer, bind
from turnwright.gateway.limits import GatewayLimits
from turnwright.gateway.sampling import SamplingLimits
from turnwright.gateway.session import Session
from turnwright.inference.scripted import ScriptedEngine
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.record_log import NoLog

JOB_ARN = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/desk"
CALL_TEXT = '<tool_call>{"name": "get_order", "arguments": {"order": "O3"}}</tool_call>'
SCRIPT = (CALL_TEXT, "late: refund it")
SAMPLING = SamplingLimits(temperature=1.0, top_p=1.0, max_tokens=64)


@cache
def tiny_renderer() -> Renderer:
    return Renderer.load(Path(turnwright.policies.__file__).parent / "tiny")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A gateway that answers on ``url``."""

    gateway: Gateway
    engine: ScriptedEngine
    queue: RolloutQueue
    credentials: Credentials
    client: httpx2.AsyncClient
    url: str

    async def open(self, task: Task | None = None) -> tuple[Session, RolloutRequest]:
        task = task or Task(id=f"t{len(self.engine.open_episodes)}", prompt="order: O3")
        key = EpisodeKey(task_id=task.id, attempt=0)
        session = await self.gateway.open(task, key, sampling=SAMPLING, own_engine_episode=True)
        return session, self.gateway.request_for(session)

    async def post(self, path: str, body: Any, key: str = "", **headers: str) -> httpx2.Response:
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(path, headers={**authorization, **headers}, content=content)


@asynccontextmanager
async def serving(
    script: Sequence[str] | Callable[..., str] = SCRIPT,
    *,
    limits: GatewayLimits | None = None,
    max_sequence_length: int = 4096,
    accept_unscoped: bool = False,
    **app: Any,
) -> AsyncGenerator[Served]:
    renderer = tiny_renderer()
    engine = ScriptedEngine(renderer.tokenizer, script, max_sequence_length=max_sequence_length)
    credentials = Credentials(job_arn=JOB_ARN, accept_unscoped=accept_unscoped)
    listener = bind()
    gateway = Gateway(
        renderer=renderer,
        engine=engine,
        job_arn=JOB_ARN,
        model_name="tiny",
        run_seed=0,
        limits=limits or GatewayLimits(),
        sampling_rule="run",
        credentials=credentials,
        log=NoLog(),
        endpoint=listener.url,
    )

    async def new_session(task: Task) -> Session:
        key = EpisodeKey(task_id=task.id, attempt=0)
        return await gateway.open(task, key, sampling=SAMPLING, own_engine_episode=True)

    queue = RolloutQueue(capacity=8, lease_seconds=30, max_deliveries=3)
    built = build_app(gateway, gateway=gateway, queue=queue, control=True, new_session=new_session, **app)
    async with GatewayServer(built, listener, grace_seconds=1), httpx2.AsyncClient(base_url=listener.url) as client:
        yield Served(
            gateway=gateway, engine=engine, queue=queue, credentials=credentials, client=client, url=listener.url
        )
        queue.close()
