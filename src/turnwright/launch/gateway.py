"""Opens a rollout gateway: credentials, record log, server and queue, in the order they need each other.

port --> address --> credentials, gateway --> app --> server; closed in the opposite order
"""

import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from starlette.types import ASGIApp

from turnwright.agents.queue import RolloutQueue
from turnwright.config import RunConfig
from turnwright.core.episode import EpisodeKey
from turnwright.core.task import Task
from turnwright.gateway.credentials import Credentials
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.http.app import build_app
from turnwright.gateway.http.server import GatewayServer, Tls, bind, require_safe_binding
from turnwright.gateway.limits import GatewayLimits
from turnwright.gateway.sampling import SamplingLimits
from turnwright.gateway.session import Session
from turnwright.inference.base import Engine
from turnwright.launch.garbage import startup_frozen
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.record_log import NoLog, RecordLog
from turnwright.rundir.recovery import RecoveredTrajectory

JOB_ARN = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/{name}"
"""The form that AWS's clients expect; account and region are nobody's."""
MOST_DELIVERIES = 3
"""How often a queued rollout is handed out before its attempt fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGateway:
    """A gateway that answers calls."""

    gateway: Gateway
    credentials: Credentials
    queue: RolloutQueue
    url: str


@asynccontextmanager
async def open_gateway(
    config: RunConfig,
    *,
    name: str,
    renderer: Renderer,
    engine: Engine,
    max_turns: int | None,
    records: Path | None = None,
    recovered: Iterable[RecoveredTrajectory] = (),
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> AsyncGenerator[OpenGateway]:
    """Serve a gateway until the block ends.

    Args:
        config: Its [gateway], [sampling], [run] and [model] sections count.
        name: Name of the run; part of the job's ARN.
        renderer: Spells conversations in ids.
        engine: Samples the replies; closed by whoever made it.
        max_turns: Model calls of one trajectory; None = no limit.
        records: Folder of the record log; None = nothing is written.
        recovered: Trajectories of an earlier process that control calls show.
        around: Wrapped around the server's app: sees every request and what was answered.

    Raises:
        ConfigError: The address cannot be served, or must not be.
    """
    section = config.gateway
    tls = None
    if section.tls_certificate is not None and section.tls_key is not None:
        tls = Tls(certificate=Path(section.tls_certificate), key=Path(section.tls_key))
    require_safe_binding(
        section.host,
        tls=tls is not None,
        accept_unscoped=section.accept_unscoped_tokens,
        allow_plain_http=section.allow_plain_http,
    )
    listener = bind(section.host, section.port, tls=tls)
    credentials = Credentials(
        job_arn=job_arn(name),
        accept_unscoped=section.accept_unscoped_tokens,
        require_scoped=section.require_scoped_tokens,
        expires_in=section.token_lifetime,
    )
    log = RecordLog(records) if records is not None else NoLog()
    gateway = Gateway(
        renderer=renderer,
        engine=engine,
        job_arn=job_arn(name),
        model_name=config.model.path,
        run_seed=config.run.seed,
        limits=GatewayLimits(
            max_turns=max_turns,
            max_tokens=section.max_sampled_tokens,
            max_concurrent_calls=section.max_concurrent_calls,
            calls_per_second=section.calls_per_second,
            max_waiting=section.max_waiting,
            max_body_bytes=int(section.max_body_mb * 2**20),
        ),
        sampling_rule=section.sampling,
        credentials=credentials,
        log=log,
        endpoint=section.public_url or listener.url,
    )
    queue = RolloutQueue(
        capacity=section.max_waiting,
        lease_seconds=section.queue_lease,
        max_deliveries=MOST_DELIVERIES,
        has_sampled=lambda trajectory_id: gateway.session(trajectory_id).num_calls > 0,
    )
    attempts = count()

    async def new_session(task: Task) -> Session:
        key = EpisodeKey(task_id=task.id, attempt=next(attempts))
        session = await gateway.open(task, key, sampling=sampling_limits(config), own_engine_episode=True)
        return session

    app = build_app(
        gateway,
        gateway=gateway,
        queue=queue,
        control=True,
        new_session=new_session,
        recovered={trajectory.opened.trajectory_id: trajectory for trajectory in recovered},
        max_body_bytes=gateway.limits.max_body_bytes,
    )
    try:
        async with GatewayServer(around(app), listener) as server:
            try:
                with startup_frozen():
                    yield OpenGateway(gateway=gateway, credentials=credentials, queue=queue, url=server.url)
            finally:
                # Before the server: workers that wait for rollouts would hold it up.
                queue.close()
    finally:
        await log.close()


def job_arn(name: str) -> str:
    """Return the ARN of a run; what AWS allows in a job's name stays, the rest becomes hyphens."""
    allowed = re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-")
    return JOB_ARN.format(name=allowed[:63].rstrip("-") or "run")


def sampling_limits(config: RunConfig, temperature: float | None = None) -> SamplingLimits:
    """Return how replies are sampled by a run; another ``temperature`` wins over its own, and 0 is greedy."""
    temperature = config.sampling.temperature if temperature is None else temperature
    return SamplingLimits(
        temperature=temperature,
        top_p=config.sampling.sampling_top_p if temperature else 1.0,
        max_tokens=config.sampling.sampling_max_tokens,
    )
