"""``turnwright compare``: the paired difference of two evaluations, with an interval and a verdict."""

from pathlib import Path
from typing import Annotated

import typer

from turnwright.api.tables import describe_comparison
from turnwright.cli.output import AsJson
from turnwright.evaluation.compare import compare
from turnwright.evaluation.store import read_result

Folder = Annotated[Path, typer.Argument(help="Folder of an evaluation, such as runs/demo/evaluations/tuned.")]


def compare_command(a: Folder, b: Folder, as_json: AsJson = False) -> None:
    """Compare two evaluations of the same tasks, A = base and B = tuned; exits 4 when B is worse."""
    comparison = compare(read_result(a), read_result(b))
    if as_json:
        print(comparison.to_json(), end="")
    else:
        print(describe_comparison(comparison))
    if comparison.exit_code:
        raise typer.Exit(comparison.exit_code)
