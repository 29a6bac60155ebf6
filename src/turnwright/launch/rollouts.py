"""Who makes the attempts of a run: the built-in agent in this process, or an agent behind the gateway.

config --> agent launcher, gateway, server --> an episode runner, until the block ends
"""

import json
import shlex
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from turnwright.agents.base import AgentLauncher
from turnwright.agents.function import FunctionAgent
from turnwright.agents.handler import HandlerAgent
from turnwright.agents.http import HttpAgent
from turnwright.agents.queue import QueueLauncher
from turnwright.agents.subprocess import ROLLOUT_VARIABLES, SubprocessAgent
from turnwright.agents.throttle import Throttled
from turnwright.config import RunConfig
from turnwright.core.errors import ConfigError
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.environments.base import Environment
from turnwright.environments.mixture import Mixture
from turnwright.environments.prompts import Prompts
from turnwright.inference.base import Engine
from turnwright.launch.gateway import OpenGateway, open_gateway
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.attempts import EpisodeRunner
from turnwright.rollout.external import AgentRunner
from turnwright.rollout.inprocess import InProcessRunner
from turnwright.rundir.files import write_private
from turnwright.rundir.layout import RunLayout


@asynccontextmanager
async def open_runner(
    config: RunConfig,
    *,
    name: str,
    prototype: Environment,
    renderer: Renderer,
    engine: Engine,
    records: Path | None = None,
    progress: Progress = UNWATCHED,
) -> AsyncGenerator[EpisodeRunner]:
    """Give what makes attempts; a gateway that agents need for it is served until the block ends.

    Args:
        config: The run.
        name: Its name.
        prototype: Its environment; of a run with an agent of its own only the tasks and the turn limit count.
        renderer: Spells conversations in ids.
        engine: Samples the replies.
        records: Folder of the gateway's record log; None = nothing is written.
        progress: Told what environments, tools and agents are at.
    """
    if config.agent.kind == "builtin":
        yield InProcessRunner(prototype=prototype, renderer=renderer, engine=engine, progress=progress)
        return
    max_turns = config.sampling.max_turns or prototype.turn_limit
    async with open_gateway(
        config, name=name, renderer=renderer, engine=engine, max_turns=max_turns, records=records
    ) as opened:
        launcher = build_launcher(config, opened)
        card = RunLayout(records.parent).gateway if records is not None else None
        if card is not None:
            write_private(card, _access(opened))
        try:
            if isinstance(launcher, HttpAgent):
                await launcher.check()
            yield AgentRunner(
                gateway=opened.gateway,
                launcher=Throttled(launcher, launches_per_second=config.rollout.rollout_launches_per_second),
                engine=engine,
                public_columns=config.agent.public_columns,
                on_ended=opened.queue.release,
                progress=progress,
            )
        finally:
            await launcher.close()
            if card is not None:
                card.unlink(missing_ok=True)


def _access(opened: OpenGateway) -> str:
    """Return what workers and AWS's clients need, as one JSON object."""
    access = {
        "url": opened.url,
        "worker_token": opened.credentials.mint(None, ("sample",)),
        "aws_environment": opened.credentials.aws_environment(opened.url),
    }
    return json.dumps(access, indent=2) + "\n"


def build_launcher(config: RunConfig, opened: OpenGateway) -> AgentLauncher:
    """Return what reaches the agent of a run that is not the built-in one."""
    agent, timeout = config.agent, config.rollout.rollout_timeout
    target = agent.target or ""
    match agent.kind:
        case "function":
            return FunctionAgent(target)
        case "http":
            return HttpAgent(target, timeout=timeout, headers=agent.options)
        case "handler":
            return HandlerAgent(target, timeout=timeout)
        case "subprocess":
            return SubprocessAgent(
                shlex.split(target), timeout=timeout, env={**_aws_keys(config, opened), **agent.options}
            )
        case "queue":
            return QueueLauncher(opened.queue, patience_seconds=timeout)
        case "builtin":
            raise ValueError("the built-in agent is not launched: it runs in this process")


def _aws_keys(config: RunConfig, opened: OpenGateway) -> dict[str, str]:
    """Return the run's key pair, where agents may have it, without what each rollout sets anyway."""
    if not config.gateway.hand_out_aws_keys:
        return {}
    environment = opened.credentials.aws_environment(opened.url)
    return {name: value for name, value in environment.items() if name not in ROLLOUT_VARIABLES}


def require_grader(config: RunConfig, prototype: Environment) -> None:
    """Raise ConfigError when nobody would give a reward."""
    if config.agent.kind != "builtin":
        return
    members = prototype.members if isinstance(prototype, Mixture) else {"": prototype}
    for domain, member in members.items():
        if isinstance(member, Prompts):
            where = f" (domain {domain!r})" if domain else ""
            raise ConfigError(
                f"agent.kind = 'builtin' cannot work with environment 'prompts'{where}, which has no tools and no "
                "reward: set agent.kind to an agent that brings both, or take another environment"
            )
