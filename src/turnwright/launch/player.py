"""Player: a policy that can play an environment, and what training, evaluation and play ask of it alike.

config --> environment, policy, renderer, engine --> attempts at tasks
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from turnwright.agents.builtin import LoopLimits
from turnwright.config import RunConfig
from turnwright.core.errors import ConfigError, EnvironmentLoadError
from turnwright.core.group import Attempt
from turnwright.core.seeding import derive_key
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment
from turnwright.environments.mixture import load_choice, turn_limits
from turnwright.inference.local import LocalEngine
from turnwright.inference.remote import ProcessEngine
from turnwright.launch.context import context_limits, require_room
from turnwright.launch.cores import share_cores
from turnwright.launch.engine_process import start_engine
from turnwright.launch.gateway import sampling_limits
from turnwright.launch.rollouts import open_runner, require_grader
from turnwright.models.adapters import AdapterSettings
from turnwright.models.load import Policy, load_policy, require_determinism
from turnwright.models.paths import resolve_tokenizer_path
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.collector import CollectorSettings, Wanted, collect_attempts
from turnwright.rollout.runner import EpisodeLimits

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """A policy that can play an environment: what evaluation, play and training have in common."""

    prototype: Environment
    policy: Policy
    renderer: Renderer
    engine: LocalEngine | ProcessEngine
    limits: EpisodeLimits
    turn_limits: Mapping[str, int]
    """Turn limits of a mixture's domains; empty where one limit holds for all episodes."""

    def max_turns(self, task: Task) -> int:
        """Return the turns after which an attempt at a task is cut."""
        return self.turn_limits.get(task.domain or "", self.limits.loop.max_turns)


def build_player(
    config: RunConfig, *, model: str | None = None, environment: Environment | None = None, learns: bool = False
) -> Player:
    """Load environment, policy and tokenizer, and start an engine over the policy.

    Args:
        config: The run.
        model: Loaded instead of ``model.path``.
        environment: Used instead of loading what [environment] names again.
        learns: The policy gets the adapters of [model] to train; otherwise adapters that it has are merged.

    Raises:
        ConfigError: There is nobody to give a reward, or the context policy cannot work.
    """
    if config.run.deterministic:
        require_determinism()
    prototype = environment or load_choice(config.environment)
    require_grader(config, prototype)
    _sweep(prototype)
    path = model or config.model.path
    policy = load_policy(path, dtype=config.model.dtype, adapters=_adapter_settings(config) if learns else None)
    renderer = Renderer.load(resolve_tokenizer_path(path))
    engine = build_engine(config, policy)
    loop = LoopLimits(
        max_turns=config.sampling.max_turns or prototype.turn_limit,
        max_sequence_length=engine.max_sequence_length,
        tool_timeout=config.rollout.tool_timeout,
        context=context_limits(config, renderer, max_sequence_length=engine.max_sequence_length),
    )
    limits = EpisodeLimits(loop=loop, timeout_seconds=config.rollout.rollout_timeout)
    return Player(
        prototype=prototype,
        policy=policy,
        renderer=renderer,
        engine=engine,
        limits=limits,
        turn_limits={} if config.sampling.max_turns else turn_limits(prototype),
    )


def _adapter_settings(config: RunConfig) -> AdapterSettings | None:
    section = config.model
    if not section.lora_rank:
        return None
    return AdapterSettings(
        rank=section.lora_rank,
        alpha=section.adapter_alpha,
        targets=tuple(section.lora_targets),
        seed=derive_key(config.run.seed, "adapters"),
    )


def _sweep(prototype: Environment) -> None:
    """Let go of what runs before this one left behind when they were killed."""
    try:
        swept = prototype.sweep_leftovers()
    except Exception as error:  # the boundary that attributes what a user's environment raises
        raise EnvironmentLoadError(
            f"{type(prototype).__name__} cannot remove what killed runs left behind: {error!r}; is its server there?"
        ) from error
    if swept:
        log.warning("removed what killed runs left behind: %s", ", ".join(swept))


def build_engine(config: RunConfig, policy: Policy | None = None) -> LocalEngine | ProcessEngine:
    """Return an engine over a policy as it was loaded, by default the one of ``model.path``."""
    policy = policy or load_policy(config.model.path, dtype=config.model.dtype)
    if config.inference.placement == "process":
        return start_engine(config, policy, adapters=_adapter_settings(config) if policy.adapted else None)
    return LocalEngine(
        policy,
        kv_memory_mb=config.inference.kv_memory_mb,
        max_queue=config.inference.max_queue,
        max_slots=config.rollout.rollout_max_concurrency,
        max_sequence_length=config.sampling.max_sequence_length,
        num_threads=share_cores(config).engine,
        deterministic=config.run.deterministic,
    )


def load_tasks(environment: Environment, split: Split, limit: int | None = None) -> list[Task]:
    """Return the tasks of a split, at most ``limit``, refusing repeated ids."""
    tasks = list(islice(environment.tasks(split), limit))
    if len({task.id for task in tasks}) != len(tasks):
        seen: set[str] = set()
        twice = next(task.id for task in tasks if task.id in seen or seen.add(task.id))
        raise ConfigError(f"{type(environment).__name__}.tasks({split!r}) repeats the id {twice!r}: ids must be unique")
    return tasks


def require_fitting_prompts(player: Player, tasks: Sequence[Task], config: RunConfig) -> None:
    """Raise ConfigError when a prompt and a full set of replies cannot fit the sequence limit; it names the longest.

    Results of tools count where their length is capped, with one per turn. Notes make replies leave, so that with them
    only the prompt must fit what a prompt may have.
    """
    context, limit = player.limits.loop.context, player.engine.max_sequence_length
    per_turn = config.sampling.sampling_max_tokens + context.tool_output_tokens
    # An agent of its own may keep its conversations short in ways that we cannot foresee.
    all_stays = config.agent.kind == "builtin" and context.policy != "summarise"
    most, prompt, turns, where = 0, 0, 0, ""
    for task in tasks:
        length = len(_opening_ids(player, task))
        require_room(context, player.renderer, length, task.id)
        allowed = player.max_turns(task) if all_stays else 1
        if length + allowed * per_turn > most:
            most, prompt, turns, where = length + allowed * per_turn, length, allowed, task.id
    if most > limit:
        capped = context.policy == "cap_tool_output"
        outputs = "one tool output of agent.tool_output_tokens each" if capped else "tool outputs not counted"
        raise ConfigError(
            f"an episode may need {prompt} + {turns} x {per_turn} = {most} tokens (prompt of task {where!r}, max_turns "
            f"x sampling_max_tokens, {outputs}), more than the sequence limit of {limit}: lower "
            "sampling.sampling_max_tokens or sampling.max_turns, or raise sampling.max_sequence_length"
        )


def _opening_ids(player: Player, task: Task) -> tuple[int, ...]:
    environment = player.prototype.for_episode()
    try:
        environment.open(task, 0)
        opening, tools = environment.opening(), environment.tool_specs()
    except Exception as error:  # the boundary that attributes what a user's environment raises
        raise EnvironmentLoadError(
            f"{type(environment).__name__} cannot open task {task.id!r}: {error!r}; 'turnwright check' plays it alone"
        ) from error
    finally:
        environment.close()
    return player.renderer.prompt_ids(opening, tools)


async def play_attempts(
    player: Player,
    tasks: Sequence[Task],
    config: RunConfig,
    *,
    attempts: int,
    temperature: float,
    seed: int,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> list[Attempt]:
    """Play tasks with a fixed policy; return the attempts by task, then attempt. The caller closes the engine."""
    settings = CollectorSettings(
        seed=seed,
        sampling=sampling_limits(config, temperature),
        limits=player.limits,
        turn_limits=player.turn_limits,
        max_concurrency=config.rollout.rollout_max_concurrency,
        max_retries=config.rollout.rollout_max_retries,
    )
    wanted = [Wanted(task=task, attempt=i) for task in tasks for i in range(attempts)]
    async with open_runner(
        config,
        name=config.run.name or "play",
        prototype=player.prototype,
        renderer=player.renderer,
        engine=player.engine,
    ) as runner:
        return await collect_attempts(runner, wanted, settings, on_attempt)
