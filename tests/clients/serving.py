"""A gateway that other processes can reach, over the shipped policy: an event loop, an engine and servers in a thread.

Serving.open(gateway, which task, which attempt) --> Rollout: what a program is told, and what was recorded of it
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from turnwright.config import RunConfig
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.message import ToolCall
from turnwright.core.outcome import Outcome
from turnwright.core.task import Task
from turnwright.core.trajectory import Trajectory
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk
from turnwright.gateway.session import Session
from turnwright.launch.gateway import OpenGateway, open_gateway, sampling_limits
from turnwright.launch.player import Player, build_player
from turnwright.rollout.collector import CollectorSettings, Wanted, collect_attempts
from turnwright.rollout.inprocess import InProcessRunner

T = TypeVar("T")

SEED = 1
MAX_TURNS = 8
GATEWAYS: Mapping[str, Mapping[str, Any]] = {
    "scoped": {},
    "unscoped": {"accept_unscoped_tokens": True},
    "slow": {"calls_per_second": 0.001},
}
"""The gateways of the tests by name, and how their [gateway] sections differ from the defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An attempt whose course is known, because the seed fixes what the policy samples."""

    task_id: str
    attempt: int


PLAIN = Chosen(task_id="train-0", attempt=6)
"""Three calls of tools that exist, the second and third alike, and an answer."""
MALFORMED = Chosen(task_id="train-8", attempt=29)
"""The first call is no JSON; four more calls; an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the gateway kept of a trajectory that has ended."""

    state: str
    outcome: Outcome | None
    trajectory: Trajectory


def config_for(gateway: Mapping[str, Any]) -> RunConfig:
    return RunConfig.model_validate(
        {
            "environment": {
                "name": "returns_desk",
                "options": {"train_tasks": 120, "validation_tasks": 120, "test_tasks": 120},
            },
            "run": {"seed": SEED},
            "model": {"path": "tiny"},
            "sampling": {"sampling_max_tokens": 64, "max_turns": MAX_TURNS, "max_sequence_length": 1280},
            "inference": {"kv_memory_mb": 64, "num_threads": 1},
            "gateway": gateway,
        }
    )


class Serving:
    """Made by ``serving``; every method may be called from the test's thread."""

    def __init__(self, player: Player, records: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.player = player
        self.records = records
        """Holds a record log for each gateway."""
        self.gateways: dict[str, OpenGateway] = {}
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
        """Run a coroutine in the servers' loop."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop).result()

    def open(self, chosen: Chosen, gateway: str = "scoped", *, prompt: str | None = None) -> Session:
        """Open a trajectory; ``prompt`` in place of the task's own."""
        task = self.task(chosen)
        if prompt is not None:
            task = Task(id=task.id, prompt=prompt, split="train")
        key = EpisodeKey(task_id=chosen.task_id, attempt=chosen.attempt)
        sampling = sampling_limits(config_for({}))
        return self.run(self.gateways[gateway].gateway.open(task, key, sampling=sampling, own_engine_episode=True))

    def request_for(self, session: Session, gateway: str = "scoped") -> dict[str, Any]:
        """Return the rollout request of a trajectory as an agent gets it."""
        return self.gateways[gateway].gateway.request_for(session).payload()

    def take(self, session: Session, gateway: str = "scoped", seconds: float = 20.0) -> Recorded:
        """Wait until a trajectory has ended, and take it from the gateway."""

        async def taken() -> Recorded:
            await session.ended.wait()
            recorded = Recorded(state=session.state, outcome=session.outcome(), trajectory=session.trajectory())
            self.gateways[gateway].gateway.drop(session)
            return recorded

        return self.run(taken(), seconds)

    def task(self, chosen: Chosen) -> Task:
        """Return a task of the returns desk; its tools are never busy, so that each call has one answer."""
        task = next(task for task in self.desk.tasks("train") if task.id == chosen.task_id)
        assert not self.desk.folder.rows["train"][task.data["row"]]["busy"]
        return task

    def world(self, chosen: Chosen) -> dict[str, Any]:
        """Return what a program needs to play a task: the system's text, the tools, and everything these can answer."""
        environment = self.desk.for_episode()
        environment.open(self.task(chosen), 0)
        letters = {"get_order": ("order", "O"), "get_customer": ("customer", "C"), "get_item": ("item", "K")}
        answers: dict[str, str] = {}
        for name, (argument, letter) in letters.items():
            for digit in range(10):
                arguments = json.dumps({argument: f"{letter}{digit}"})
                call = ToolCall(id="", name=name, arguments=arguments)
                answers[f"{name} {arguments}"] = asyncio.run(environment.call_tool(call)).message.content
        tools = [
            {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)}
            for spec in environment.tool_specs()
        ]
        return {"system": environment.instructions, "tools": tools, "answers": answers}

    def in_process(self, chosen: Chosen) -> Attempt:
        """Return the same attempt made by the built-in agent, without a gateway."""
        runner = InProcessRunner(prototype=self.desk, renderer=self.player.renderer, engine=self.player.engine)
        settings = CollectorSettings(seed=SEED, sampling=sampling_limits(config_for({})), limits=self.player.limits)
        wanted = [Wanted(task=self.task(chosen), attempt=chosen.attempt)]
        return self.run(collect_attempts(runner, wanted, settings))[0]

    @cached_property
    def desk(self) -> ReturnsDesk:
        """The environment."""
        assert isinstance(self.player.prototype, ReturnsDesk)
        return self.player.prototype


@contextmanager
def serving(records: Path) -> Iterator[Serving]:
    """Serve every gateway of GATEWAYS until the block ends, each with its own record log below ``records``."""
    started: Future[Serving] = Future()
    stopped = threading.Event()

    async def serve() -> None:
        player = build_player(config_for({}))
        loop = asyncio.get_running_loop()
        served = Serving(player, records, loop)
        try:
            async with AsyncExitStack() as stack:
                for name, section in GATEWAYS.items():
                    served.gateways[name] = await stack.enter_async_context(
                        open_gateway(
                            config_for(section),
                            name=f"clients-{name}",
                            renderer=player.renderer,
                            engine=player.engine,
                            max_turns=MAX_TURNS,
                            records=records / name,
                        )
                    )
                started.set_result(served)
                await _when(stopped, loop)
        finally:
            await player.engine.close()

    def thread() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    with ThreadPoolExecutor(1, thread_name_prefix="gateway") as threads:
        running = threads.submit(thread)
        try:
            yield started.result()
        finally:
            stopped.set()
            running.result()


def _when(event: threading.Event, loop: asyncio.AbstractEventLoop) -> Awaitable[Any]:
    return loop.run_in_executor(None, event.wait)
