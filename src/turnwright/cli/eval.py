"""``turnwright eval``: what a checkpoint on disk is worth, by a scorer that is not the reward."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from turnwright.cli.options import RUNS, ConfigFile, Overrides
from turnwright.cli.output import AsJson, print_table
from turnwright.config import resolve
from turnwright.core.errors import ConfigError
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.statistics import Interval
from turnwright.rundir import find_run


def evaluate(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help='Checkpoint folder, hub id or "tiny".')],
    config: ConfigFile = None,
    override: Overrides = None,
    run: Annotated[str | None, typer.Option("--run", help="Run that keeps the result.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Folder below evaluations/ of the run.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the result, in place of --run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a checkpoint on held-out tasks, independent of training."""
    # Imported here: they load torch.
    from turnwright.launch.evaluation import assign, run_evaluation

    if override and config is None:
        raise ConfigError("--set changes a run.toml: name one with --config")
    assignment = assign(
        checkpoint,
        resolved=resolve(config, override or ()) if config else None,
        run=find_run(run, RUNS) if run else None,
        name=name,
        out=out,
    )
    # Standard output stays for the result.
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("attempts", total=None)
        evaluation = run_evaluation(
            assignment, on_attempt=lambda done, total: progress.update(bar, completed=done, total=total)
        )
    if as_json:
        sys.stdout.write(evaluation.result.to_json())
    else:
        print_result(evaluation.result)
        print(f"written to {assignment.folder}")


def print_result(result: EvaluationResult) -> None:
    """Print the numbers of an evaluation, each with its 95 % interval."""
    print(f"{result.checkpoint} on {result.num_tasks} {result.split} tasks of {result.environment}, by {result.scorer}")
    rates = {f"pass@{rate.k}": rate.at_least_one for rate in result.pass_rates if rate.k in (1, result.attempts)}
    rows = [
        (f"success (temperature {result.temperature:g})", result.success),
        *rates.items(),
        ("success (greedy)", result.greedy_success),
        ("field accuracy", result.field_accuracy),
        *((f"  {name}", interval) for name, interval in result.fields.items()),
        ("completion", result.completion),
    ]
    shown = [(label, f"{interval.value:.1%}", _range(interval)) for label, interval in rows if interval]
    print_table(("measure", "value", "95 % interval"), shown)
    for warning in result.warnings:
        print(f"warning: {warning}")


def _range(interval: Interval) -> str:
    return f"{interval.low:.1%} to {interval.high:.1%}"
