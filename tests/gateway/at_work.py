"""A gateway over a scripted engine, a log that is a list, and an agent that calls it without HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import RunDirectoryError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.task import Task
from turnwright.gateway.calls import Answer, AskedSampling, Call, Caller, CallMark
from turnwright.gateway.credentials import Credentials
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.limits import GatewayLimits
from turnwright.gateway.sampling import SamplingLimits
from turnwright.gateway.session import Session
from turnwright.inference.base import Generation, GenerationRequest, TokenListener
from turnwright.inference.scripted import Script, ScriptedEngine
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.gateway_records import GatewayRecord, TurnRecorded

JOB = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/demo"
KEY = EpisodeKey(task_id="order-4", attempt=2)
TASK = Task(id="order-4", prompt="order: O3", data={"gold": "refund", "shop": "Cologne"})
TOOLS = (ToolSpec(name="get_order", description="Look an order up.", parameters={"type": "object", "properties": {}}),)
OPENING = (Message(role="system", content="You are an agent."), Message(role="user", content="order: O3"))
CORPUS = (
    '<tool_call>{"name": "get_order", "arguments": {"order": "O3"}}</tool_call>',
    "Look the order up: O3 late",
) * 20
RETRY = CallMark(is_retry=True)


def user(text: str) -> Message:
    return Message(role="user", content=text)


@dataclass
class ListLog:
    """Keeps the records; can be made slow or made to fail."""

    records: list[GatewayRecord] = field(default_factory=list[GatewayRecord])
    broken: bool = False
    hold: asyncio.Event | None = None
    """Records reach the disk when it is set."""

    async def append(self, record: GatewayRecord) -> None:
        if self.hold is not None:
            await self.hold.wait()
        await asyncio.sleep(0)
        if self.broken:
            raise RunDirectoryError("disk full")
        self.records.append(record)

    async def close(self) -> None: ...

    @property
    def kinds(self) -> list[str]:
        return [record.kind for record in self.records]

    @property
    def turns(self) -> list[TurnRecorded]:
        return [record for record in self.records if isinstance(record, TurnRecorded)]


class HeldBackEngine(ScriptedEngine):
    """Finishes a reply only when it is let; the first ids come at once."""

    def __init__(self, renderer: Renderer, script: Sequence[str] | Script) -> None:
        super().__init__(renderer.tokenizer, script)
        self.let = asyncio.Event()
        self.num_cancelled = 0

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        generation = await super().generate(request)
        ids = generation.token_ids
        if on_tokens is not None:
            on_tokens(ids[:2])
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        if on_tokens is not None:
            on_tokens(ids[2:])
        return generation


def make_gateway(
    renderer: Renderer,
    engine: ScriptedEngine,
    log: ListLog | None = None,
    *,
    limits: GatewayLimits | None = None,
    **changes: Any,
) -> Gateway:
    settings: dict[str, Any] = {
        "job_arn": JOB,
        "model_name": "tiny",
        "run_seed": 5,
        "sampling_rule": "run",
        "credentials": Credentials(job_arn=JOB),
        "endpoint": "http://127.0.0.1:8321",
    }
    return Gateway(
        renderer=renderer, engine=engine, limits=limits or GatewayLimits(), log=log or ListLog(), **settings | changes
    )


async def open_session(gateway: Gateway, task: Task = TASK, *, max_tokens: int = 64, **options: Any) -> Session:
    sampling = SamplingLimits(temperature=0.7, max_tokens=max_tokens)
    return await gateway.open(task, KEY, sampling=sampling, own_engine_episode=True, **options)


async def call(
    session: Session,
    *messages: Message,
    mark: CallMark | None = None,
    asked: AskedSampling | None = None,
    tools: Sequence[ToolSpec] = TOOLS,
    deliver: bool = True,
) -> Answer:
    """Ask and wait for the answer, as a client does that stays."""
    exchange = await session.ask(
        Call(messages=messages or OPENING, tools=tuple(tools), asked=asked or AskedSampling(), mark=mark or CallMark())
    )
    answer = await exchange.answer()
    if deliver:
        exchange.delivered()
    return answer


def with_session(
    renderer: Renderer,
    script: Sequence[str] | Script,
    play: Callable[[Session, ListLog], Awaitable[None]],
    *,
    max_sequence_length: int = 4096,
    max_tokens: int = 64,
    task: Task = TASK,
    limits: GatewayLimits | None = None,
    **changes: Any,
) -> Session:
    """Let ``play`` act on one session and return it; everything must be over within seconds."""

    async def run() -> Session:
        log = ListLog()
        engine = ScriptedEngine(renderer.tokenizer, script, max_sequence_length=max_sequence_length)
        gateway = make_gateway(renderer, engine, log, limits=limits, **changes)
        session = await open_session(gateway, task, max_tokens=max_tokens)
        async with asyncio.timeout(20):
            await play(session, log)
        return session

    return asyncio.run(run())


def caller(token: str = "", *, path_trajectory_id: str | None = None, **headers: str) -> Caller:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        named["authorization"] = f"Bearer {token}"
    return Caller(method="POST", path="/v1/chat/completions", headers=named, path_trajectory_id=path_trajectory_id)
