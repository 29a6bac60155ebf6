"""Runs in this process: builds the parts of a training run around a player, and trains or goes on with it."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from turnwright.config import ResolvedConfig, RunConfig
from turnwright.controller import Components, Controller
from turnwright.core.errors import RunDirectoryError
from turnwright.core.group import Attempt
from turnwright.core.task import Task
from turnwright.evaluation.scorers import Scorer
from turnwright.evaluation.suites import Suite, build_scorer
from turnwright.launch.learning import build_reference, optimizer_settings, pass_settings, step_settings
from turnwright.launch.licences import trained_licences
from turnwright.launch.player import build_player, load_tasks, require_fitting_prompts
from turnwright.launch.rollouts import open_runner
from turnwright.launch.views import Views, log_to
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.passes import Passes
from turnwright.rollout.batches import Batches
from turnwright.rollout.collector import EpisodeRunner
from turnwright.rundir.groups import keys_of
from turnwright.rundir.manifest import collect_manifest
from turnwright.rundir.naming import free_run_name
from turnwright.rundir.reader import RunReader
from turnwright.rundir.writer import RunWriter


def build_components(config: RunConfig, *, model: str | None = None) -> Components:
    """Build everything a training run needs."""
    # First of all: a loss of one's own that cannot be found costs no model then.
    settings = step_settings(config)
    player = build_player(config, model=model, learns=True)
    train, validation = load_tasks(player.prototype, "train"), load_tasks(player.prototype, "validation")
    Batches(config, train)
    require_fitting_prompts(player, [*train, *validation], config)

    def runner(name: str, records: Path) -> AbstractAsyncContextManager[EpisodeRunner]:
        return open_runner(
            config,
            name=name,
            prototype=player.prototype,
            renderer=player.renderer,
            engine=player.engine,
            records=records,
        )

    passes = Passes(player.policy, pass_settings(config))
    return Components(
        prototype=player.prototype,
        open_runner=runner,
        policy=player.policy,
        renderer=player.renderer,
        engine=player.engine,
        passes=passes,
        reference=build_reference(config, passes),
        optimizer=Optimizer(player.policy.model, optimizer_settings(config)),
        step_settings=settings,
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
        if config.run.deterministic:
            writer.set_aside([found.group.number for found in reader.open_groups()])
        finished = _finished_attempts(writer, step)
        _control(components, resolved, writer, show=show, resume_from=step, finished=finished)
    return run


def _finished_attempts(writer: RunWriter, step: int) -> tuple[Attempt, ...]:
    """Return what an interrupted process finished after a step; what only the gateway's log has joins the groups."""
    run = RunReader(writer.layout.root)
    found = run.open_groups()
    size = run.config().config.algorithm.group_size
    numbers = {key: one.group.number for one in found for key in keys_of(one.group, size)}
    logged = run.logged_attempts(numbers, version=step)
    for attempt in logged:
        writer.attempt(numbers[attempt.episode.key], attempt)
    return (*(attempt for one in found for attempt in one.attempts), *logged)


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
