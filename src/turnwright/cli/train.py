"""``turnwright train``: a training run, from a run.toml, continued from a run directory, or begun with its weights."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from turnwright.cli.options import RUNS, Settings, split_settings
from turnwright.config import ResolvedConfig, resolve
from turnwright.core.errors import ConfigError
from turnwright.launch.resumption import Resumption, find_parent, plan_resumption, resolve_from
from turnwright.rundir import RunLayout, RunReader, find_run
from turnwright.rundir.checkpoints import promoted
from turnwright.tracking.following import num_missed

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""


def train(
    settings: Settings = None,
    resume: Annotated[str | None, typer.Option("--resume", metavar="RUN", help="Continue this run.")] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN[@STEP]", help="Start a new run from a checkpoint of this one."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every value, its source and the plan.")] = False,
) -> None:
    """Train a policy by multi-turn reinforcement learning."""
    file, overrides = split_settings(settings)
    if resume is not None:
        if start_from is not None:
            raise ConfigError("--resume goes on with a run and --from starts a new one: give one of them")
        _continue(plan_resumption(find_run(resume, RUNS), file, overrides), dry_run=dry_run)
        return
    if start_from is None:
        resolved = resolve(file, overrides)
    else:
        resolved = resolve_from(find_parent(start_from, RUNS), file, overrides)
    if dry_run:
        _print_plan(resolved)
        return
    # Imported here: it loads torch.
    from turnwright.launch.local import train as run_training

    config_text = file.read_text(encoding="utf-8") if file else ""
    started: list[Path] = []

    def announce(path: Path) -> None:
        started.append(path)
        print(f"run directory: {path}", flush=True)

    try:
        path = run_training(resolved, config_text=config_text, show=True, on_start=announce)
    except KeyboardInterrupt:
        _say_interrupted(started[0] if started else None)
    else:
        _say_next(path, resolved.config.model.path)


def _continue(plan: Resumption, *, dry_run: bool) -> None:
    for line in plan.describe():
        print(line)
    if dry_run:
        _print_plan(plan.config, run=plan.run)
        return
    from turnwright.launch.local import resume

    try:
        resume(
            plan.run,
            config=plan.config,
            show=True,
            on_start=lambda path: print(f"run directory: {path}", flush=True),
        )
    except KeyboardInterrupt:
        _say_interrupted(plan.run)
    else:
        _say_next(plan.run, plan.config.config.model.path)


def _print_plan(resolved: ResolvedConfig, *, run: Path | None = None) -> None:
    """Print what a new run would do, or one that goes on: that is refused then as it would be."""
    from turnwright.launch.identity import require_same_run
    from turnwright.launch.local import build_components
    from turnwright.launch.plan import plan_run

    print(resolved.describe())
    components = build_components(resolved.config)
    if run is not None:
        require_same_run(run, components, step=0)
    print(f"\n{plan_run(components, resolved.config).describe()}")


def _say_interrupted(run: Path | None) -> None:
    if run is None:
        print("interrupted before anything was written")
    else:
        print(f"interrupted; what was finished is on disk. To continue: turnwright train --resume {_quote(run)}")
    raise typer.Exit(INTERRUPTED)


def _say_next(run: Path, base: str) -> None:
    tuned = promoted(RunLayout(run)) or RunReader(run).checkpoints()[-1].path
    where = _quote(run)
    print(f"done: {where}\nnext:")
    print(f"  turnwright eval {shlex.quote(base)} --run {where} --name base")
    print(f"  turnwright eval {_quote(tuned)} --run {where} --name tuned")
    print(f"  turnwright compare {_quote(run / 'evaluations' / 'base')} {_quote(run / 'evaluations' / 'tuned')}")
    print(f"  turnwright report {where}")
    missed = num_missed(RunLayout(run)) if RunReader(run).config().config.tracking.mlflow else 0
    if missed:
        print(f"MLflow was away and misses {missed} steps: turnwright runs mlflow {where}")


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
