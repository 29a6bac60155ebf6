"""Probes a user's agent: a few rollouts under a scripted policy, and what they show. No model, no training, no torch.

config --> gateway under a wire, launcher --> one rollout alone --> two side by side
what was recorded + what passed the wire --> findings and a transcript
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from turnwright.agents.base import AgentError, AgentLauncher
from turnwright.agents.builtin import LoopLimits
from turnwright.agents.http import HttpAgent
from turnwright.config import RunConfig
from turnwright.core.errors import ConfigError
from turnwright.core.finding import Finding
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed
from turnwright.core.task import Task
from turnwright.gateway.session import Session
from turnwright.inference.base import Engine
from turnwright.inference.replies import load_replies, reply_script
from turnwright.inference.scripted import Script, ScriptedEngine
from turnwright.launch.gateway import OpenGateway, open_gateway, sampling_limits
from turnwright.launch.probe_calls import SeenCall, offered_tools, read_call
from turnwright.launch.probe_codes import found
from turnwright.launch.probe_findings import merged, rollout_findings, unattributed_findings
from turnwright.launch.probe_mixing import pair_findings
from turnwright.launch.probe_report import ProbedRollout, ProbeReport, describe_call, transcript
from turnwright.launch.probe_script import ProbeScript, rollout_mark
from turnwright.launch.probe_wire import Wire, current_request
from turnwright.launch.rollouts import build_launcher
from turnwright.launch.standalone import SCRIPTED_SEQUENCE_LENGTH
from turnwright.models.paths import SHIPPED_POLICY, resolve_model_path
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.collector import CollectorSettings, Wanted, collect_attempts
from turnwright.rollout.external import AgentRunner
from turnwright.rollout.runner import EpisodeLimits

PROMPT = "This is turnwright probe. Use your tools once, then answer in one sentence."
MOST_CALLS = 24
"""Model calls of a probed rollout."""
LINGER_SECONDS = 0.3
"""How long an agent is listened to after its rollouts are over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeGateway:
    """Where the probe listens, as workers that pull their rollouts need to know it."""

    url: str
    worker_token: str


def probe_agent(
    config: RunConfig,
    *,
    prompt: str = PROMPT,
    replies: Path | None = None,
    on_open: Callable[[ProbeGateway], None] = lambda gateway: None,
) -> ProbeReport:
    """Ask an agent for rollouts and report what it did with them.

    Args:
        config: [agent] says how it is reached, ``rollout.rollout_timeout`` how long a rollout may take; [gateway] and
            [sampling] count as in a run. The tokenizer is always the shipped one.
        prompt: Task of every rollout.
        replies: Scripted replies in place of the probe's own (see ``inference/replies.py``).
        on_open: Called when the gateway answers, before the agent is asked.

    Raises:
        ConfigError: The agent is the built-in one, or the gateway cannot listen.
        DatasetError: The file with replies is wrong.
        EnvironmentLoadError: A function or handler of that name does not exist.
    """
    if config.agent.kind == "builtin":
        raise ConfigError("the built-in agent needs no probe: name an agent by its URL, or by --kind and --target")
    return asyncio.run(_probe(config, prompt, replies, on_open))


async def _probe(
    config: RunConfig, prompt: str, replies: Path | None, on_open: Callable[[ProbeGateway], None]
) -> ProbeReport:
    renderer, wire = Renderer.load(resolve_model_path(SHIPPED_POLICY)), Wire()
    limit = config.sampling.max_sequence_length or SCRIPTED_SEQUENCE_LENGTH
    engine = ScriptedEngine(renderer.tokenizer, _script(replies, renderer), max_sequence_length=limit)
    async with (
        open_gateway(
            config,
            name="probe",
            renderer=renderer,
            engine=engine,
            max_turns=config.sampling.max_turns or MOST_CALLS,
            around=wire.around,
        ) as opened,
        _launcher(config, opened) as launcher,
    ):
        on_open(ProbeGateway(url=opened.url, worker_token=opened.credentials.mint(None, ("sample",))))
        bench = _Bench(config=config, opened=opened, launcher=launcher, engine=engine, prompt=prompt, wire=wire)
        ill = await _ill_health(launcher) if isinstance(launcher, HttpAgent) else None
        is_there = ill is None or ill.code != "agent.unreachable"
        ended = await _run_rollouts(bench) if is_there else []
        return _report(bench, ended, renderer, [] if ill is None else [ill])


def _script(replies: Path | None, renderer: Renderer) -> Script:
    if replies is None:
        return ProbeScript(lambda: offered_tools(current_request()))
    return reply_script(
        load_replies(replies), lambda message: renderer.decode(renderer.reply_ids(message)[:-1]), renderer.decode
    )


@asynccontextmanager
async def _launcher(config: RunConfig, opened: OpenGateway) -> AsyncGenerator[AgentLauncher]:
    launcher = build_launcher(config, opened)
    try:
        yield launcher
    finally:
        await launcher.close()


async def _ill_health(agent: HttpAgent) -> Finding | None:
    """Return what is wrong with an agent's health route; None when it answers."""
    try:
        await agent.check()
    except AgentError as error:
        # Only a connection that failed has such a cause; a route that is missing was answered.
        failed = isinstance(error.__cause__, httpx2.HTTPError | TimeoutError)
        return found("agent.unreachable" if failed else "agent.no_health", "agent", error.detail)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """What rollouts are made with."""

    config: RunConfig
    opened: OpenGateway
    launcher: AgentLauncher
    engine: Engine
    prompt: str
    wire: Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A rollout that is over."""

    attempt: Attempt
    session: Session
    began: float


async def _run_rollouts(bench: _Bench) -> list[_Ended]:
    """Make one rollout, and, where it ended well, two more side by side."""
    ended = await _run_at_once(bench, [0])
    if not isinstance(ended[0].attempt.episode.outcome, Failed):
        ended += await _run_at_once(bench, [1, 2])
    await asyncio.sleep(LINGER_SECONDS)
    return ended


async def _run_at_once(bench: _Bench, attempts: Sequence[int]) -> list[_Ended]:
    config, opened = bench.config, bench.opened
    sessions: list[Session] = []

    def note_end(trajectory_id: str) -> None:
        sessions.append(opened.gateway.session(trajectory_id))
        opened.queue.release(trajectory_id)

    runner = AgentRunner(
        gateway=opened.gateway,
        launcher=bench.launcher,
        engine=bench.engine,
        public_columns=config.agent.public_columns,
        on_ended=note_end,
    )
    settings = CollectorSettings(
        seed=config.run.seed,
        sampling=sampling_limits(config),
        limits=EpisodeLimits(loop=LoopLimits(max_turns=MOST_CALLS), timeout_seconds=config.rollout.rollout_timeout),
        max_retries=0,
    )
    task, began = Task(id="probe", prompt=bench.prompt), bench.wire.now()
    made = await collect_attempts(runner, [Wanted(task=task, attempt=number) for number in attempts], settings)
    by_key = {session.key: session for session in sessions}
    return [_Ended(attempt=attempt, session=by_key[attempt.episode.key], began=began) for attempt in made]


def _report(bench: _Bench, ended: Sequence[_Ended], renderer: Renderer, before: Sequence[Finding]) -> ProbeReport:
    """Put together what was recorded, what passed the wire and what was found before the first rollout."""
    calls = [read_call(request, bench.opened.credentials) for request in bench.wire.requests]
    rollouts = [_probed(one, ended, calls, renderer) for one in ended]
    ids = {rollout.trajectory_id for rollout in rollouts}
    strangers = [call for call in calls if call.trajectory_id not in ids and call.kind != "other"]
    findings = [*before, *unattributed_findings(strangers)]
    for rollout in rollouts:
        findings += rollout_findings(rollout)
    if len(rollouts) > 1:
        findings += pair_findings(rollouts[0], rollouts[1:])
    agent = bench.config.agent
    return ProbeReport(
        agent=f"{agent.kind} agent {agent.target or 'that pulls its rollouts'}",
        passed=not any(finding.severity == "error" for finding in findings),
        findings=merged(findings),
        rollouts=tuple(map(transcript, rollouts)),
        unattributed=tuple(map(describe_call, strangers)),
    )


def _probed(one: _Ended, all_ended: Sequence[_Ended], calls: Sequence[SeenCall], renderer: Renderer) -> ProbedRollout:
    session, key = one.session, one.attempt.episode.key
    prompts = [renderer.decode(turn.prompt_token_ids) for turn in one.attempt.trajectory.turns]
    others = [other.attempt.episode.key for other in all_ended if other is not one]
    return ProbedRollout(
        number=key.attempt + 1,
        trajectory_id=session.trajectory_id,
        began=one.began,
        calls=tuple(call for call in calls if call.trajectory_id == session.trajectory_id and call.kind != "other"),
        episode=one.attempt.episode,
        trajectory=one.attempt.trajectory,
        ignored=dict(session.ignored),
        num_retries=session.num_retries,
        heard_of=frozenset(
            other.attempt + 1 for other in others if any(rollout_mark(other) in prompt for prompt in prompts)
        ),
    )
