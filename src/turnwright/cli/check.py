"""``turnwright check``: audit an environment; no model is needed."""

import json
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from turnwright.audit.apart import run_apart
from turnwright.audit.page import solved_sentence, turns_sentence, write_page
from turnwright.audit.report import CheckReport, write_report
from turnwright.cli.options import Options, ScorerName, read_options
from turnwright.cli.output import AsJson, print_json, print_table
from turnwright.launch.check import check_environment, check_members

EnvironmentName = Annotated[
    str,
    typer.Argument(
        metavar="ENV", help="path/file.py:Class, package.module:Class, sop:FOLDER, a built-in name or a run.toml."
    ),
]
WIDTH = 110
"""Columns that the text of a finding takes."""


def check(
    environment: EnvironmentName,
    option: Options = None,
    scorer: ScorerName = None,
    success_threshold: Annotated[float, typer.Option(help="Reward from which an episode counts as solved.")] = 1.0,
    tasks: Annotated[int, typer.Option(help="Most tasks to play.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the draw of tasks and of the episodes.")] = 0,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let the environment reach the network; a finding is a warning.")
    ] = False,
    production: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tools as production has them, to compare with.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as a JSON file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Audit an environment: does it replay, can it be solved, and only by solving it? Exits 1 when it fails."""
    settings: dict[str, Any] = {
        "scorer": scorer,
        "success_threshold": success_threshold,
        "num_tasks": tasks,
        "seed": seed,
        "allow_network": allow_network,
        "production": production,
        "progress": _show_progress if sys.stderr.isatty() else None,
    }
    options = read_options(option)

    def audit() -> dict[str, CheckReport]:
        if environment.endswith(".toml"):
            return check_members(Path(environment), **settings)
        return {environment: check_environment(environment, options=options, **settings)}

    reports = audit() if allow_network else run_apart(audit)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    for name, report in reports.items():
        if html is not None:
            write_page(report, _member_path(html, name, len(reports)))
        if output is not None:
            write_report(report, _member_path(output, name, len(reports)))
    if as_json:
        documents = {name: json.loads(report.to_json()) for name, report in reports.items()}
        print_json(documents if len(documents) > 1 else next(iter(documents.values())))
    else:
        for number, report in enumerate(reports.values()):
            print("\n" if number else "", end="")
            _print(report)
        for written in (html, output):
            if written is not None:
                print("\n".join(f"written: {_member_path(written, name, len(reports))}" for name in reports))
    if not all(report.passed for report in reports.values()):
        raise typer.Exit(1)


def _member_path(path: Path, name: str, count: int) -> Path:
    """Return where the report of a mixture's member goes: of ``audit.html`` ``audit-returns.html``."""
    return path if count == 1 else path.with_name(f"{path.stem}-{name}{path.suffix}")


def _show_progress(stage: str) -> None:
    print(f"\r\033[Kchecking: {stage} ...", end="", file=sys.stderr, flush=True)


def _print(report: CheckReport) -> None:
    print(f"{report.environment}: {'passed' if report.passed else 'FAILED'}")
    for sentence in (solved_sentence(report), turns_sentence(report)):
        if sentence:
            print(f"{sentence[0].lower()}{sentence[1:].removesuffix('.')}")
    nothing = [name for name, floor in report.floors.items() if not floor.by_reward and not floor.by_score]
    print_table(
        ("play without knowledge", "solved by reward", "by score"),
        [
            (name, f"{floor.by_reward:.1%}", "-" if floor.by_score is None else f"{floor.by_score:.1%}")
            for name, floor in report.floors.items()
            if name not in nothing or len(report.floors) == len(nothing)
        ],
    )
    if nothing and len(nothing) < len(report.floors):
        print(textwrap.fill(f"solved nothing: {', '.join(nothing)}", WIDTH, subsequent_indent="  "))
    for finding in report.findings:
        print(f"\n{finding.severity} {finding.code} ({finding.where})")
        for text in (finding.evidence, f"cure: {finding.cure}"):
            print(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False))
