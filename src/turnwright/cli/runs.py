"""``turnwright runs``: list, show and prune run directories, and show MLflow what it missed of one."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from turnwright.cli.output import AsJson, human_bytes, print_json, print_table
from turnwright.core.errors import RunDirectoryError, TurnwrightError
from turnwright.rundir import RunReader, find_run, list_runs, prunable, prune, summarise
from turnwright.rundir.checkpoints import promoted, verify

app = typer.Typer(help="List, show and prune run directories; show MLflow what it missed.", no_args_is_help=True)

OutputDir = Annotated[Path, typer.Option("--dir", help="Folder that holds the runs.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name or path of a run.")]
RUNS = Path("runs")
OF_DOMAINS = ("/rollout/groups", "/rollout/reward/mean", "/val/reward/mean", "/val/score/success")
"""Metrics shown of each domain of a mixture."""


@app.command("list")
def list_command(output_dir: OutputDir = RUNS, as_json: AsJson = False) -> None:
    """List the runs of a folder, oldest first."""
    summaries = list_runs(output_dir)
    if as_json:
        print_json([asdict(run) for run in summaries])
    elif not summaries:
        print(f"no runs in '{output_dir}': start one with `turnwright train run.toml`, or name a folder with --dir")
    else:
        rows = [
            (run.name, run.state, run.step, run.num_checkpoints, human_bytes(run.size_bytes), run.created)
            for run in summaries
        ]
        print_table(("run", "state", "step", "checkpoints", "size", "created"), rows)


@app.command()
def show(run: RunName, output_dir: OutputDir = RUNS, as_json: AsJson = False) -> None:
    """Show what a run is, what it does and where its numbers went."""
    root = find_run(run, output_dir)
    reader = RunReader(root)
    summary, manifest, status, metrics = summarise(root), reader.manifest(), reader.status(), reader.metrics()
    document: dict[str, Any] = {
        **asdict(summary),
        "message": status.message if status else "",
        "manifest": asdict(manifest),
        "checkpoints": [checkpoint.path for checkpoint in reader.checkpoints()],
        "promoted": promoted(reader.layout),
        "findings": [asdict(finding) for finding in reader.findings()],
        "first_metrics": metrics[0] if metrics else {},
        "last_metrics": metrics[-1] if metrics else {},
    }
    if as_json:
        print_json(document)
        return
    print(f"{summary.name}: {summary.state} at step {summary.step}  {document['message']}".rstrip())
    print(f"created {manifest.created} on {manifest.host}, seed {manifest.seed}, {human_bytes(summary.size_bytes)}")
    if manifest.parent:
        print(f"started from {manifest.parent}")
    for checkpoint in document["checkpoints"]:
        print(f"checkpoint {checkpoint}{'  promoted' if checkpoint == document['promoted'] else ''}")
        for problem in verify(checkpoint, hashes=False):
            print(f"  {problem}")
    for finding in reader.findings():
        print(f"{finding.severity} {finding.code} ({finding.where}): {finding.evidence}; {finding.cure}")
    curves = _first_and_last(metrics)
    if curves:
        print_table(("metric", "first", "last"), curves)


@app.command("prune")
def prune_command(
    run: RunName,
    keep: Annotated[int, typer.Option(help="Newest checkpoints that stay.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    output_dir: OutputDir = RUNS,
) -> None:
    """Delete old checkpoints and superseded files of a run; the promoted one and all records always stay."""
    root = find_run(run, output_dir)
    paths = prunable(root, keep=keep)
    for path in paths:
        print(f"{'would delete' if dry_run else 'delete'} {path}")
    if not paths:
        print(f"nothing to delete in '{root}'")
    elif not dry_run:
        print(f"freed {human_bytes(prune(root, paths))}")


@app.command("mlflow")
def mlflow_command(
    run: RunName,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Take back what is shown and show all of it anew.")
    ] = False,
    output_dir: OutputDir = RUNS,
) -> None:
    """Show in MLflow what it missed of a run, because it was away."""
    # Imported here: MLflow takes seconds.
    from turnwright.tracking import mlflow

    reader = RunReader(find_run(run, output_dir))
    if reader.is_running():
        raise RunDirectoryError(
            f"run '{reader.layout.root}' is being written: it shows MLflow what it missed by itself"
        )
    target = mlflow.MlflowTarget.of(reader.layout.root, reader.config())
    try:
        if rebuild:
            print(f"run {mlflow.rebuild(reader, target)} at {target.address} is made anew")
        else:
            print(f"{mlflow.catch_up(reader, target)} steps were missing at {target.address} and are shown now")
    except ConnectionError as error:
        message = f"{error}: start the server of tracking.mlflow_uri, then call this again; nothing is lost meanwhile"
        raise TurnwrightError(message) from None


def _first_and_last(metrics: list[dict[str, float]]) -> list[tuple[str, str, str]]:
    """Return first and last value of the metrics that say whether a run learns, and in which domains of a mixture."""
    shown = dict.fromkeys(
        name
        for record in metrics
        for name in record
        if name.startswith(("rollout/reward/", "val/")) or name.endswith(OF_DOMAINS)
    )
    curves: list[tuple[str, str, str]] = []
    for name in shown:
        values = [record[name] for record in metrics if name in record]
        curves.append((name, f"{values[0]:.4g}", f"{values[-1]:.4g}"))
    return curves
