"""``turnwright check``: audit an environment; no model is needed."""

from typing import Annotated

import typer

from turnwright.audit.report import CheckReport
from turnwright.cli.options import Options, ScorerName, read_options
from turnwright.cli.output import AsJson, print_table
from turnwright.launch.check import check_environment

EnvironmentName = Annotated[
    str, typer.Argument(metavar="ENV", help="path/file.py:Class, package.module:Class, sop:FOLDER or a built-in name.")
]


def check(
    environment: EnvironmentName,
    option: Options = None,
    scorer: ScorerName = None,
    success_threshold: Annotated[float, typer.Option(help="Reward from which an episode counts as solved.")] = 1.0,
    tasks: Annotated[int, typer.Option(help="Most tasks to play.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the draw of tasks and of the episodes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Audit an environment: does it replay, can it be solved, and only by solving it? Exits 1 when it fails."""
    report = check_environment(
        environment,
        options=read_options(option),
        scorer=scorer,
        success_threshold=success_threshold,
        num_tasks=tasks,
        seed=seed,
    )
    if as_json:
        print(report.to_json(), end="")
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(1)


def _print(report: CheckReport) -> None:
    oracle, proposed = report.oracle, report.proposed
    source = "its oracle" if oracle.kind == "rules" else "stating the gold answer (there is no oracle)"
    print(f"{report.environment}: {'passed' if report.passed else 'FAILED'}")
    print(f"{source} solves {oracle.solved} of {oracle.of} tasks")
    if proposed.typical_turns is not None:
        print(f"a solution takes {proposed.typical_turns} turns; max_turns = {proposed.max_turns} leaves room")
    print_table(
        ("answer without work", "solved by reward", "by score"),
        [
            (name, f"{floor.by_reward:.1%}", "-" if floor.by_score is None else f"{floor.by_score:.1%}")
            for name, floor in report.floors.items()
        ],
    )
    for finding in report.findings:
        print(f"{finding.severity} {finding.code} ({finding.where}): {finding.evidence}; {finding.cure}")
