"""``turnwright compare``: the paired difference of two evaluations, with an interval and a verdict."""

from pathlib import Path
from typing import Annotated

import typer

from turnwright.cli.output import AsJson, print_table
from turnwright.evaluation.compare import Comparison, Difference, compare
from turnwright.evaluation.store import read_result

Folder = Annotated[Path, typer.Argument(help="Folder of an evaluation, such as runs/demo/evaluations/tuned.")]


def compare_command(a: Folder, b: Folder, as_json: AsJson = False) -> None:
    """Compare two evaluations of the same tasks, A = base and B = tuned; exits 4 when B is worse."""
    comparison = compare(read_result(a), read_result(b))
    if as_json:
        print(comparison.to_json(), end="")
    else:
        print_comparison(comparison)
    if comparison.exit_code:
        raise typer.Exit(comparison.exit_code)


def print_comparison(comparison: Comparison) -> None:
    """Print base, tuned and their difference for every measure."""
    print(f"base   {comparison.base}\ntuned  {comparison.tuned}")
    print(f"suite  {comparison.suite}, {comparison.num_tasks} tasks, scorer {comparison.scorer}")
    measures = [
        ("success (sampled)", comparison.success),
        ("success (greedy)", comparison.greedy_success),
        ("field accuracy", comparison.field_accuracy),
        *((f"  {name}", difference) for name, difference in comparison.fields.items()),
    ]
    rows = [(label, *_cells(difference)) for label, difference in measures if difference]
    print_table(("measure", "base", "tuned", "difference in points, 95 % interval"), rows)
    for warning in comparison.warnings:
        print(f"warning: {warning}")
    print(f"verdict: {comparison.verdict}")


def _cells(difference: Difference) -> tuple[str, str, str]:
    points = difference.difference
    return (
        f"{difference.base:.1%}",
        f"{difference.tuned:.1%}",
        f"{100 * points.value:+.1f}  ({100 * points.low:+.1f} to {100 * points.high:+.1f})",
    )
