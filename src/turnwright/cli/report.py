"""``turnwright report``: one self-contained HTML file about a run."""

from pathlib import Path
from typing import Annotated

import typer

from turnwright.cli.options import RUNS, RunName
from turnwright.report.build import build_report
from turnwright.rundir import find_run


def report(
    run: RunName,
    out: Annotated[Path | None, typer.Option("--out", help="File to write, in place of report.html.")] = None,
) -> None:
    """Write the report of a run: curves, base against tuned, episodes turn by turn."""
    print(build_report(find_run(run, RUNS), out))
