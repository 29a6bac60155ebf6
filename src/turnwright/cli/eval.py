"""``turnwright eval``: what a checkpoint on disk is worth, by a scorer that is not the reward."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from turnwright.api.tables import describe_result
from turnwright.cli.options import RUNS, ConfigFile, Overrides
from turnwright.cli.output import AsJson
from turnwright.evaluation.sop_metrics import measure_sop
from turnwright.launch.assignment import assign
from turnwright.rundir import find_run

DRAWN = 100
"""How often the progress bar is drawn over an evaluation."""


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
    assignment = assign(
        checkpoint,
        config=config,
        overrides=override or (),
        run=find_run(run, RUNS) if run else None,
        name=name,
        out=out,
    )
    # Imported here: it loads torch.
    from turnwright.launch.evaluation import run_evaluation

    # Standard output stays for the result.
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        bar = progress.add_task("attempts", total=None)

        def show(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, refresh=done % max(1, total // DRAWN) == 0)

        evaluation = run_evaluation(assignment, on_attempt=show)
    if as_json:
        print(evaluation.result.to_json(), end="")
    else:
        print(describe_result(evaluation.result))
        measures = measure_sop(evaluation.result.environment, evaluation.sampled)
        if measures is not None:
            print(measures.describe())
        print(f"written to {assignment.folder}")
