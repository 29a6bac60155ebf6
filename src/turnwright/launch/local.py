"""Runs in this process: builds the parts of a training run around a player, and trains or goes on with it."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from turnwright.config import ResolvedConfig, RunConfig
from turnwright.controller.components import Components
from turnwright.controller.replay import Continuation
from turnwright.controller.run import Controller
from turnwright.core.errors import RunDirectoryError
from turnwright.core.progress import ProgressBoard
from turnwright.core.task import Task
from turnwright.evaluation.scorers import Scorer
from turnwright.evaluation.suites import Suite, build_scorer
from turnwright.launch.cores import share_cores
from turnwright.launch.identity import identified, record_data, require_same_run
from turnwright.launch.learning import build_reference, optimizer_settings, pass_settings, step_settings
from turnwright.launch.licences import trained_licences
from turnwright.launch.player import build_player, load_tasks, require_fitting_prompts
from turnwright.launch.resumption import record_config
from turnwright.launch.rollouts import open_runner
from turnwright.launch.views import log_to, open_sinks
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.passes import Passes
from turnwright.rollout.attempts import EpisodeRunner
from turnwright.rollout.batches import Batches
from turnwright.rundir.checkpoints import newest_intact, promote
from turnwright.rundir.groups import keys_of
from turnwright.rundir.manifest import collect_manifest
from turnwright.rundir.naming import free_run_name
from turnwright.rundir.reader import RunReader
from turnwright.rundir.records import OpenGroup
from turnwright.rundir.writer import RunWriter

log = logging.getLogger(__name__)


def build_components(config: RunConfig, *, model: str | None = None) -> Components:
    """Build everything a training run needs."""
    # First of all: a loss of one's own that cannot be found costs no model then.
    settings = step_settings(config)
    player = build_player(config, model=model, learns=True)
    train, validation = load_tasks(player.prototype, "train"), load_tasks(player.prototype, "validation")
    Batches(config, train)
    require_fitting_prompts(player, [*train, *validation], config)

    progress = ProgressBoard()
    player.engine.progress = progress

    def runner(name: str, records: Path) -> AbstractAsyncContextManager[EpisodeRunner]:
        return open_runner(
            config,
            name=name,
            prototype=player.prototype,
            renderer=player.renderer,
            engine=player.engine,
            records=records,
            progress=progress,
        )

    passes = Passes(player.policy, pass_settings(config))
    passes.progress = progress
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
        learner_threads=share_cores(config).learner,
        limits=player.limits,
        turn_limits=player.turn_limits,
        train_tasks=train,
        validation_tasks=validation,
        progress=progress,
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
    manifest = identified(collect_manifest(name=name, seed=config.run.seed), components, resolved)
    manifest = replace(manifest, licences=trained_licences(components.prototype, resolved))
    with RunWriter.create(output / name, config=resolved, manifest=manifest, config_text=config_text) as writer:
        record_data(writer.layout, components)
        on_start(writer.layout.root)
        _control(components, resolved, writer, show=show)
    return output / name


def resume(
    run: Path,
    *,
    config: ResolvedConfig | None = None,
    show: bool = False,
    on_start: Callable[[Path], None] = lambda path: None,
) -> Path:
    """Continue an interrupted run after its newest intact checkpoint; one without any begins again with what it played.

    Steps behind the checkpoint are trained again from disk, and groups that were open keep the attempts that had ended.

    Args:
        run: The run directory.
        config: What to go on with, as ``plan_resumption`` makes it; None = the run's own configuration.
        show: Show progress on the terminal.
        on_start: Called with the run directory when the run goes on.
    """
    reader = RunReader(run)
    resolved = config or reader.config()
    last = newest_intact(reader.layout)
    step = last.step if last else 0
    components = build_components(resolved.config, model=str(last.path) if last else None)
    require_same_run(run, components, step=step)
    if step >= Batches(resolved.config, components.train_tasks).total:
        raise RunDirectoryError(f"run '{run}' is complete ({step} steps): nothing to resume; evaluate or report it")
    closed_until = reader.closed_steps(after=step)
    with RunWriter.resume(run, step=closed_until, checkpoint=step) as writer:
        on_start(run)
        record_config(writer.layout, resolved)
        promote(writer.layout, reader.metrics())
        open_groups = _take_up(writer, resolved.config, closed_until)
        reader = RunReader(run)
        closed = [group for record in reader.batches() for group in record.groups]
        continuation = Continuation(
            checkpoint=step,
            closed_until=closed_until,
            reported=frozenset(int(line["step"]) for line in reader.metrics()),
            dealt=(*closed, *(one.group for one in open_groups)),
            open_groups=open_groups,
        )
        _control(components, resolved, writer, show=show, continuation=continuation)
    return run


def _take_up(writer: RunWriter, config: RunConfig, step: int) -> tuple[OpenGroup, ...]:
    """Return the groups that were left open after a step, with attempts that only the gateway's log has."""
    reader = RunReader(writer.layout.root)
    open_groups = reader.open_groups()
    if config.run.deterministic:
        # Deterministic rounds depend on the whole set of open episodes: a rest of them would be another batch.
        writer.set_aside([one.group.number for one in open_groups])
        return ()
    size = config.algorithm.group_size
    owners = {key: one.group.number for one in open_groups for key in keys_of(one.group, size)}
    for attempt in reader.logged_attempts(owners, version=step):
        writer.attempt(owners[attempt.episode.key], attempt)
    return reader.open_groups()


def _control(
    components: Components,
    resolved: ResolvedConfig,
    writer: RunWriter,
    *,
    show: bool,
    continuation: Continuation | None = None,
) -> None:
    controller = Controller(components, resolved.config, writer)
    controller.sinks = open_sinks(
        resolved,
        writer.layout.root,
        num_steps=controller.batches.total,
        show=show,
        progress=components.progress,
    )
    with log_to(writer.log_folder / "run.log"):
        try:
            asyncio.run(_run(controller, continuation))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
    if controller.stopped:
        raise KeyboardInterrupt


async def _run(controller: Controller, continuation: Continuation | None) -> None:
    """Run to the end; the first SIGINT or SIGTERM stops after the step that is being trained, the second at once."""
    loop, running = asyncio.get_running_loop(), asyncio.current_task()
    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()

    def stop(number: signal.Signals) -> None:
        if controller.stopping and running is not None:
            running.cancel()
            return
        log.warning("%s: stopping after the step that is being trained, with a checkpoint", number.name)
        controller.stop()

    for number in signals:
        loop.add_signal_handler(number, stop, number)
    try:
        await controller.run(continuation)
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


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
