"""A gateway as a run opens it: real socket, shipped tokenizer, record log on disk; replies are scripted."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import httpx2

import turnwright.policies
from turnwright.agents.base import AgentLauncher
from turnwright.agents.builtin import LoopLimits
from turnwright.config import RunConfig
from turnwright.config.load import resolve_values
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.rollout import RolloutRequest
from turnwright.core.task import Task
from turnwright.gateway.sampling import SamplingLimits
from turnwright.gateway.session import Session
from turnwright.inference.scripted import Script, ScriptedEngine
from turnwright.launch.gateway import OpenGateway, open_gateway
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.collector import CollectorSettings, Wanted, collect_attempts
from turnwright.rollout.external import AgentRunner
from turnwright.rollout.runner import EpisodeLimits

TASK = Task(id="order-4", prompt="order: O3")
SAMPLING = SamplingLimits(temperature=1.0, max_tokens=24)
CALL_TEXT = '<tool_call>{"name": "get_order", "arguments": {"order": "O3"}}</tool_call>'
ANSWER = "refund it"
MESSAGES = ({"role": "user", "content": "order: O3"},)
LONGEST_SEQUENCE = 512

T = TypeVar("T")


@cache
def shipped_renderer() -> Renderer:
    return Renderer.load(Path(turnwright.policies.__file__).parent / "tiny")


def configured(**sections: Mapping[str, Any]) -> RunConfig:
    """A run of agents of their own; named sections are laid over it."""
    return resolve_values({"environment": {"name": "prompts"}, **sections}, source="test").config


@dataclass(frozen=True, kw_only=True)
class AtWork:
    """An open gateway and what it stands on."""

    opened: OpenGateway
    engine: ScriptedEngine
    renderer: Renderer
    records: Path
    attempts: "count[int]" = field(default_factory=count)

    async def open(self, *, sampling: SamplingLimits = SAMPLING) -> tuple[Session, RolloutRequest]:
        """Open a trajectory as ``turnwright gateway`` does."""
        key = EpisodeKey(task_id=TASK.id, attempt=next(self.attempts))
        session = await self.opened.gateway.open(TASK, key, sampling=sampling, own_engine_episode=True)
        return session, self.opened.gateway.request_for(session)

    async def attempt(self, launcher: AgentLauncher, *, timeout_seconds: float = 30.0) -> Attempt:
        """Have one attempt made as a run does."""
        runner = AgentRunner(
            gateway=self.opened.gateway,
            launcher=launcher,
            engine=self.engine,
            on_ended=self.opened.queue.release,
        )
        wanted = Wanted(task=TASK, attempt=next(self.attempts))
        (attempt,) = await collect_attempts(runner, [wanted], settings(timeout_seconds))
        return attempt

    def logged(self) -> bytes:
        """Everything that the record log has on disk."""
        return b"".join(path.read_bytes() for path in sorted(self.records.glob("*.jsonl")))


def settings(timeout_seconds: float = 30.0) -> CollectorSettings:
    limits = EpisodeLimits(loop=LoopLimits(max_turns=8), timeout_seconds=timeout_seconds)
    return CollectorSettings(seed=3, sampling=SAMPLING, limits=limits, max_retries=0)


@asynccontextmanager
async def at_work(
    records: Path,
    script: Sequence[str] | Script = lambda request: ANSWER,
    *,
    renderer: Renderer | None = None,
    max_turns: int | None = 8,
    delay_seconds: float = 0.0,
    **gateway: Any,
) -> AsyncGenerator[AtWork]:
    """Open a gateway; keyword arguments are settings of its section."""
    renderer = renderer or shipped_renderer()
    engine = ScriptedEngine(
        renderer.tokenizer, script, max_sequence_length=LONGEST_SEQUENCE, delay_seconds=delay_seconds
    )
    config = configured(gateway=gateway)
    async with open_gateway(
        config, name="desk", renderer=renderer, engine=engine, max_turns=max_turns, records=records
    ) as opened:
        yield AtWork(opened=opened, engine=engine, renderer=renderer, records=records)


@contextmanager
def at_work_elsewhere(records: Path, **options: Any) -> Iterator[tuple[AtWork, Callable[[Coroutine[Any, Any, T]], T]]]:
    """Open a gateway on an event loop in a thread, for clients that block; yields also what runs a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="gateway", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    opening = at_work(records, **options)
    try:
        yield run(opening.__aenter__()), run
    finally:
        run(opening.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Visit:
    """One agent's calls at the gateway, as any program makes them."""

    def __init__(self, payload: Mapping[str, Any], statuses: list[int]) -> None:
        """Take a rollout request; ``statuses`` gets the status of each answer."""
        metadata = payload["metadata"]
        self.trajectory_id: str = metadata["trajectory_id"]
        self.url: str = metadata["endpoint"]
        self.headers: dict[str, str] = {"authorization": f"Bearer {metadata['api_key']}"}
        self.statuses = statuses

    def _client(self) -> httpx2.AsyncClient:
        # Plain http: loading certificates would take most of the time.
        return httpx2.AsyncClient(base_url=self.url, timeout=30, verify=False)

    async def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        """Call once."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._client() as client:
            answer = await client.post(path, content=content, headers={**self.headers, **headers})
        self.statuses.append(answer.status_code)
        return answer

    async def get(self, path: str) -> Any:
        """Read the value behind a path."""
        async with self._client() as client:
            answer = await client.get(path, headers=self.headers)
        self.statuses.append(answer.status_code)
        return answer.json()

    async def say(self, *messages: Mapping[str, Any], **fields: Any) -> httpx2.Response:
        """Ask the policy."""
        return await self.post("/v1/chat/completions", {"messages": messages or MESSAGES, **fields})

    async def hang_up(self, *messages: Mapping[str, Any]) -> None:
        """Ask the policy for a stream and leave when the first piece has come."""
        body = {"messages": messages or MESSAGES, "stream": True}
        async with (
            self._client() as client,
            client.stream("POST", "/v1/chat/completions", json=body, headers=self.headers) as answer,
        ):
            self.statuses.append(answer.status_code)
            async for _ in answer.aiter_raw():
                break

    async def complete(self, **fields: Any) -> httpx2.Response:
        """Seal the trajectory."""
        return await self.post("/complete-rollout", {"TrajectoryId": self.trajectory_id, **fields})

    async def reward(self, *values: Any, **fields: Any) -> httpx2.Response:
        """Reward the trajectory."""
        return await self.reward_raw(json.dumps(list(values)), **fields)

    async def reward_raw(self, values: str, **fields: Any) -> httpx2.Response:
        """Reward the trajectory with whatever stands for the list of rewards, JSON or not."""
        body = json.dumps({"TrajectoryId": self.trajectory_id, **fields})
        return await self.post("/update-reward", f'{body[:-1]}, "Rewards": {values}}}'.encode())


async def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait until something has become true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
