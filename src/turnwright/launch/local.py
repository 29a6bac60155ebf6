"""Builds the parts of a run in this process, and trains or plays with them.

config --> environment, policy, renderer, engine --> controller | attempts for whoever evaluates
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from transformers.utils import logging as transformers_logging

from turnwright.agents.builtin import LoopLimits
from turnwright.config import ResolvedConfig, RunConfig
from turnwright.controller import Components, Controller
from turnwright.core.errors import ConfigError, EnvironmentLoadError, RunDirectoryError
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment
from turnwright.environments.mixture import load_choice, turn_limits
from turnwright.evaluation.scorers import Scorer
from turnwright.evaluation.suites import Suite, build_scorer
from turnwright.inference.local import LocalEngine
from turnwright.launch.gateway import sampling_limits
from turnwright.launch.licences import trained_licences
from turnwright.launch.rollouts import open_runner, require_grader
from turnwright.launch.views import Views, log_to
from turnwright.learner.batch import BatchSettings
from turnwright.learner.credit import AdvantageSettings
from turnwright.learner.objective import LossSettings
from turnwright.learner.optimizer import Optimizer, OptimizerSettings
from turnwright.learner.step import StepSettings
from turnwright.models.load import Policy, load_policy, require_determinism
from turnwright.models.paths import resolve_model_path
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.batches import Batches
from turnwright.rollout.collector import CollectorSettings, EpisodeRunner, Wanted, collect_attempts
from turnwright.rollout.runner import EpisodeLimits
from turnwright.rundir.manifest import collect_manifest
from turnwright.rundir.naming import free_run_name
from turnwright.rundir.reader import RunReader
from turnwright.rundir.writer import RunWriter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """A policy that can play an environment: what evaluation, play and training have in common."""

    prototype: Environment
    policy: Policy
    renderer: Renderer
    engine: LocalEngine
    limits: EpisodeLimits
    turn_limits: Mapping[str, int]
    """Turn limits of a mixture's domains; empty where one limit holds for all episodes."""

    def max_turns(self, task: Task) -> int:
        """Return the turns after which an attempt at a task is cut."""
        return self.turn_limits.get(task.domain or "", self.limits.loop.max_turns)


def build_player(config: RunConfig, *, model: str | None = None, environment: Environment | None = None) -> Player:
    """Load environment, policy and tokenizer, and start an engine over the policy.

    Args:
        config: The run.
        model: Loaded instead of ``model.path``.
        environment: Used instead of loading what [environment] names again.

    Raises:
        ConfigError: The longest possible episode does not fit the sequence limit.
    """
    # Its progress bars would break into ours.
    transformers_logging.disable_progress_bar()
    if config.run.deterministic:
        require_determinism()
    prototype = environment or load_choice(config.environment)
    require_grader(config, prototype)
    _sweep(prototype)
    path = model or config.model.path
    policy = load_policy(path, dtype=config.model.dtype)
    renderer = Renderer.load(resolve_model_path(path))
    engine = build_engine(config, policy)
    loop = LoopLimits(
        max_turns=config.sampling.max_turns or prototype.turn_limit,
        max_sequence_length=engine.max_sequence_length,
        tool_timeout=config.rollout.tool_timeout,
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


def build_engine(config: RunConfig, policy: Policy | None = None) -> LocalEngine:
    """Return an engine over a policy, by default the one of ``model.path``."""
    return LocalEngine(
        policy or load_policy(config.model.path, dtype=config.model.dtype),
        kv_memory_mb=config.inference.kv_memory_mb,
        max_queue=config.inference.max_queue,
        max_slots=config.rollout.rollout_max_concurrency,
        max_sequence_length=config.sampling.max_sequence_length,
        num_threads=config.inference.num_threads,
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
    """Raise ConfigError when a prompt and a full set of replies cannot fit the sequence limit; it names the longest."""
    cap, limit = config.sampling.sampling_max_tokens, player.engine.max_sequence_length
    most, prompt, turns, where = 0, 0, 0, ""
    for task in tasks:
        length = len(_opening_ids(player, task))
        # An agent of its own may keep its conversations short in ways that we cannot foresee.
        allowed = player.max_turns(task) if config.agent.kind == "builtin" else 1
        if length + allowed * cap > most:
            most, prompt, turns, where = length + allowed * cap, length, allowed, task.id
    if most > limit:
        raise ConfigError(
            f"an episode may need {prompt} + {turns} x {cap} = {most} tokens (prompt of task {where!r}, max_turns x "
            f"sampling_max_tokens, tool outputs not counted), more than the sequence limit of {limit}: lower "
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


def build_components(config: RunConfig, *, model: str | None = None) -> Components:
    """Build everything a training run needs."""
    player = build_player(config, model=model)
    train, validation = load_tasks(player.prototype, "train"), load_tasks(player.prototype, "validation")
    Batches(config, train)
    require_fitting_prompts(player, [*train, *validation], config)
    algorithm, optimizer = config.algorithm, config.optimizer
    updates = config.schedule.max_steps * algorithm.updates_per_step

    def runner(name: str, records: Path) -> AbstractAsyncContextManager[EpisodeRunner]:
        return open_runner(
            config,
            name=name,
            prototype=player.prototype,
            renderer=player.renderer,
            engine=player.engine,
            records=records,
        )

    return Components(
        prototype=player.prototype,
        open_runner=runner,
        policy=player.policy,
        renderer=player.renderer,
        engine=player.engine,
        optimizer=Optimizer(
            player.policy.model,
            OptimizerSettings(
                learning_rate=optimizer.learning_rate,
                num_updates=updates,
                warmup_updates=optimizer.warmup_steps * algorithm.updates_per_step,
                lr_schedule=optimizer.lr_schedule,
                beta1=optimizer.adam_beta1,
                beta2=optimizer.adam_beta2,
                eps=optimizer.adam_eps,
                weight_decay=optimizer.adam_weight_decay,
                grad_clip_norm=optimizer.adam_grad_clip_norm,
            ),
        ),
        step_settings=StepSettings(
            batch=BatchSettings(
                advantages=AdvantageSettings(
                    method=algorithm.advantage_method,
                    normalization=algorithm.advantage_normalization,
                    gamma=algorithm.gamma,
                    k=algorithm.best_of,
                    k_form=algorithm.advantage_k_form,
                ),
                aggregation=algorithm.aggregation,
                normalise=algorithm.normalise,
                truncated=algorithm.truncated,
                updates_per_step=algorithm.updates_per_step,
            ),
            loss=LossSettings(
                loss_fn=algorithm.loss_fn,
                clip_low_threshold=algorithm.clip_thresholds[0],
                clip_high_threshold=algorithm.clip_thresholds[1],
                dual_clip=algorithm.dual_clip,
            ),
            tokens_per_microbatch=config.learner.tokens_per_microbatch,
            sampler_gap_warn=config.learner.sampler_gap_warn,
            sampler_kl_warn=config.learner.sampler_kl_warn,
        ),
        limits=player.limits,
        turn_limits=player.turn_limits,
        train_tasks=train,
        validation_tasks=validation,
        scorer=independent_scorer(config, [*train, *validation]),
    )


def train(
    resolved: ResolvedConfig,
    *,
    config_text: str = "",
    show: bool = False,
    on_start: Callable[[Path], None] = lambda path: None,
) -> Path:
    """Run one training run to its end and return its directory.

    Args:
        resolved: What to do.
        config_text: The run.toml as given, kept beside the run.
        show: Show progress on the terminal.
        on_start: Called with the run directory as soon as it exists.
    """
    config = resolved.config
    output = Path(config.run.output_dir)
    name = config.run.name or free_run_name(output)
    components = build_components(config)
    manifest = collect_manifest(name=name, seed=config.run.seed, parent=config.model.path)
    manifest = replace(manifest, licences=trained_licences(components.prototype, resolved))
    with RunWriter.create(output / name, config=resolved, manifest=manifest, config_text=config_text) as writer:
        on_start(writer.layout.root)
        _control(components, resolved, writer, show=show)
    return output / name


def resume(run: Path, *, show: bool = False, on_start: Callable[[Path], None] = lambda path: None) -> Path:
    """Continue an interrupted run after its newest checkpoint; a run without one starts over with what it finished."""
    reader = RunReader(run)
    resolved = reader.config()
    config = resolved.config
    checkpoints = [checkpoint for checkpoint in reader.checkpoints() if checkpoint.resume is not None]
    last = checkpoints[-1] if checkpoints else None
    step = last.step if last else 0
    components = build_components(config, model=str(last.path) if last else None)
    if step >= Batches(config, components.train_tasks).total:
        raise RunDirectoryError(f"run '{run}' is complete ({step} steps): nothing to resume; evaluate or report it")
    with RunWriter.resume(run, step=step) as writer:
        on_start(run)
        # Deterministic rounds depend on the whole set of open episodes: a rest of them would be another batch.
        finished = () if config.run.deterministic else _finished_attempts(writer, step + 1)
        _control(components, resolved, writer, show=show, resume_from=step, finished=finished)
    return run


def _finished_attempts(writer: RunWriter, step: int) -> tuple[Attempt, ...]:
    """Return what an interrupted process finished of a step; what only the gateway's log has joins the step's files."""
    run = RunReader(writer.layout.root)
    written = run.unfinished_attempts(step)
    known = {attempt.episode.key for attempt in written if not isinstance(attempt.episode.outcome, Failed)}
    logged = [attempt for attempt in run.logged_attempts(step) if attempt.episode.key not in known]
    for attempt in logged:
        writer.attempt(step, attempt)
    return (*written, *logged)


def _control(
    components: Components,
    resolved: ResolvedConfig,
    writer: RunWriter,
    *,
    show: bool,
    resume_from: int = 0,
    finished: Sequence[Attempt] = (),
) -> None:
    views = Views(components.scorer)
    controller = Controller(
        components, resolved.config, writer, views.sinks, on_validation=views.validation, on_training=views.training
    )
    views.open(resolved, writer.layout.root, num_steps=controller.batches.total, show=show)
    with log_to(writer.log_folder / "run.log"):
        asyncio.run(controller.run(resume_from=resume_from, finished=finished))


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


def independent_scorer(config: RunConfig, tasks: Sequence[Task]) -> Scorer | None:
    """Return the scorer that [evaluation] names, with its vocabulary from ``tasks``; None where it names none.

    Of a mixture, each domain's own: that of its member, otherwise the one that [evaluation] names.
    """
    named = config.evaluation.scorer
    scorers = {domain: member.scorer or named for domain, member in config.environment.mixture.items()}
    if named is None and not any(scorers.values()):
        return None
    known = {domain: scorer for domain, scorer in scorers.items() if scorer is not None}
    return build_scorer(replace(Suite.from_config(config), scorers=known), tasks)
