"""An agent that is a program of its own, as an episode runner.

    open a trajectory --request--> agent --calls, seal, reward--> gateway
    then wait for whichever comes first: the trajectory has ended, the agent broke, time is up

What the runtime calls say decides. A launcher that runs the agent itself (a function) may report for it. Everything an
agent can do wrong has one outcome:

    cannot be reached                           Failed("agent_unreachable")
    raises, exits with an error, says "failed"  Failed("agent_error")
    never asks the policy                       Failed("no_sample")
    seals, or ends unsealed, without a reward   Failed("no_reward")
    neither seals nor ends in time              Failed("timeout")
    says that it skipped the task               Failed("skipped")

None of these is a reward of 0, none ends the run.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from turnwright.agents.base import AgentError, AgentLauncher, AgentReport
from turnwright.core.group import Attempt
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.session import Session
from turnwright.inference.base import Engine
from turnwright.rollout.attempts import CollectorSettings, Wanted

FAREWELL_SECONDS = 5.0
"""How long an agent whose trajectory has ended may take to return before it is let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRunner:
    """Implements EpisodeRunner over a gateway."""

    gateway: Gateway
    launcher: AgentLauncher
    engine: Engine
    public_columns: Sequence[str] = ()
    """Entries of a task's data that the agent may see."""
    on_ended: Callable[[str], None] = lambda trajectory_id: None
    """Told the id of each trajectory that has ended, before its agent is let go."""
    progress: Progress = UNWATCHED
    """Told of agents that work on their own, between two calls."""

    async def run(self, wanted: Wanted, settings: CollectorSettings, executor: Executor) -> Attempt:
        """Ask the agent for one attempt and return what was recorded of it, with its outcome."""
        session = await self.gateway.open(
            wanted.task,
            wanted.key,
            sampling=settings.sampling,
            seed=settings.seed,
            public_columns=self.public_columns,
            max_turns=settings.turn_limits.get(wanted.task.domain or ""),
        )
        clock = _Clock(settings.limits.timeout_seconds)
        launching = asyncio.create_task(
            self.launcher.launch(self.gateway.request_for(session), clock.start), name=f"agent {wanted.key}"
        )
        part = f"agent {wanted.key}"
        self.progress.watch(part, lambda: _own_work(session))
        try:
            await _attend(session, launching, clock)
            self.on_ended(session.trajectory_id)
            # The agent's last call has been answered; cutting the line now would look like a fault on its side.
            await asyncio.wait({launching}, timeout=FAREWELL_SECONDS)
            return Attempt(episode=session.episode(), trajectory=session.trajectory())
        finally:
            self.progress.end(part)
            launching.cancel()
            await asyncio.gather(launching, return_exceptions=True)
            await session.abort("interrupted", "the run stopped while the agent worked")
            self.gateway.drop(session)

    def paused(self) -> AbstractAsyncContextManager[object]:
        """Let calls wait at the gateway: an agent may call at any time."""
        return self.gateway.paused()


class _Clock:
    """The time an attempt has: it runs from when its agent gets the rollout, not while that waits for its turn."""

    def __init__(self, timeout_seconds: float | None) -> None:
        self.timeout_seconds = timeout_seconds
        self.limit = asyncio.timeout(None)
        self.is_running = True

    def start(self) -> None:
        if self.timeout_seconds is not None and self.is_running and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time() + self.timeout_seconds)


async def _attend(session: Session, launching: "asyncio.Task[AgentReport | None]", clock: _Clock) -> None:
    """Wait until the session has ended, by the agent or by us."""
    ended = asyncio.create_task(session.ended.wait())
    try:
        async with clock.limit:
            await asyncio.wait({ended, launching}, return_when=asyncio.FIRST_COMPLETED)
            if not session.ended.is_set():
                await _take_report(session, launching)
            await ended
    except TimeoutError:
        if not clock.limit.expired():
            raise
        await session.abort(*_missing(session, f"within {clock.timeout_seconds} s", otherwise="timeout"))
    finally:
        clock.is_running = False
        ended.cancel()


async def _take_report(session: Session, launching: "asyncio.Task[AgentReport | None]") -> None:
    """Carry out what a launch that is over says about its trajectory."""
    try:
        report = launching.result()
    except AgentError as error:
        await session.abort(error.cause, error.detail)
        return
    if report is None:
        return
    if report.skipped:
        await session.abort("skipped", "the agent returned the status 'skipped'")
        return
    try:
        if report.error is not None:
            await session.complete("failed", None, detail=report.error)
        elif report.rewards is not None:
            await session.complete("ready", None)
            await session.reward(report.rewards, None, report.components)
        elif session.state == "open":  # a sealed one may get its reward from somebody else
            await session.abort(*_missing(session, "when its agent ended", otherwise="no_reward"))
    except Refusal as refusal:
        await session.abort("agent_error", f"its report was refused: {refusal}")


def _own_work(session: Session) -> str | None:
    """Say what an agent is at; None while it waits for a reply of ours."""
    if session.num_working or session.ended.is_set():
        return None
    return f"{session.state}, after {session.num_calls} calls"


def _missing(session: Session, when: str, *, otherwise: str) -> tuple[str, str]:
    """Say what a session lacks that nobody will end any more: cause and detail of its failure."""
    if session.num_calls == 0:
        return "no_sample", f"the policy was never asked {when}: does the agent use the base URL and key it is given?"
    if session.state == "ready":
        return "no_reward", f"sealed, but no reward {when}: call update-reward, or return a reward"
    return otherwise, f"not sealed {when}: call complete-rollout, return a reward, or raise rollout_timeout"
