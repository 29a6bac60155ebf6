"""``turnwright data``: check, split, register and list files of tasks; cards of SOP-Bench domains."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from turnwright.cli.output import AsJson, human_bytes, print_json, print_table
from turnwright.core.errors import ConfigError
from turnwright.core.finding import Finding
from turnwright.datasets import (
    LOCK_NAME,
    Scan,
    find_changes,
    find_duplicates,
    list_entries,
    load_tasks,
    locate,
    scan,
    split_tasks,
    write_split,
)
from turnwright.datasets import register as register_file
from turnwright.environments.sop.card import make_card
from turnwright.environments.sop.checkout import load_domains
from turnwright.environments.sop.licence import split_folder

app = typer.Typer(help="Check, split and register files of tasks.", no_args_is_help=True)

FileName = Annotated[
    str, typer.Argument(metavar="FILE", help="parquet, jsonl, json or csv; data:NAME@VERSION; or sop:FOLDER.")
]
SOP_PREFIX = "sop:"
SHOWN = 20
"""Findings that the text output lists; ``--json`` has all."""


@app.command()
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files; what two share is contamination.")],
    as_json: AsJson = False,
) -> None:
    """Check the rows of files, and that no prompt of one occurs in another. Exits 1 when something is wrong."""
    scans = {name: scan(locate(name)) for name in files}
    rows = [finding for scanned in scans.values() for finding in (*scanned.findings, *find_changes(scanned.path))]
    findings = [*rows, *find_duplicates({name: scanned.tasks for name, scanned in scans.items()})]
    if as_json:
        counted = [{"file": name, "rows": len(one.tasks), "errors": len(one.errors)} for name, one in scans.items()]
        print_json({"passed": _passed(findings), "files": counted, "findings": [asdict(one) for one in findings]})
    else:
        _print_scans(scans)
        _print_findings(findings)
    if not _passed(findings):
        raise typer.Exit(1)


@app.command()
def split(
    file: FileName,
    out: Annotated[Path, typer.Option(help="Folder for the splits and their lock file.")],
    seed: Annotated[int, typer.Option(help="Chooses among the possible splits.")] = 0,
    validation: Annotated[float, typer.Option(help="Share of the rows; 0 = none.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the rows; 0 = none.")] = 0.1,
    by: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the same shares in all splits.")] = None,
    as_json: AsJson = False,
) -> None:
    """Split a file; clusters and equal prompts stay together. Exits 1 when near-duplicates ended up in two splits.

    Of sop:FOLDER only the lock file is written, labels alike in all splits: its rows stay where they are.
    """
    if file.startswith(SOP_PREFIX):
        _split_domain(file, out, seed=seed, validation=validation, test=test, by=by, as_json=as_json)
        return
    splits = split_tasks(load_tasks(locate(file)), seed=seed, validation=validation, test=test, by=by)
    lock = write_split(splits, out, seed=seed, by=by)
    findings = find_duplicates(splits)
    if as_json:
        counts = {name: locked.count for name, locked in lock.splits.items()}
        document = {"passed": _passed(findings), "lock": out / LOCK_NAME, "counts": counts}
        print_json({**document, "findings": [asdict(one) for one in findings]})
    else:
        print_table(("split", "rows", "file"), [(name, one.count, out / one.file) for name, one in lock.splits.items()])
        print(f"locked by {out / LOCK_NAME}: keep it beside the files, it keeps the test rows out of training")
        _print_findings(findings)
    if not _passed(findings):
        raise typer.Exit(1)


@app.command()
def card(
    name: Annotated[str, typer.Argument(metavar="sop:FOLDER", help="A SOP-Bench domain, or a checkout of several.")],
    as_json: AsJson = False,
) -> None:
    """Show what a SOP-Bench domain holds: licence, rows, labels, turns, and what can be reached."""
    cards = [make_card(domain) for domain in load_domains(name)]
    if as_json:
        print_json([asdict(one) for one in cards])
    else:
        print("\n\n".join(one.describe() for one in cards))


@app.command()
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_' and '-'.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="parquet, jsonl, json or csv.")],
    as_json: AsJson = False,
) -> None:
    """Copy a file into the register; the version is made of its content and never changes."""
    entry = register_file(name, path)
    if as_json:
        print_json({**asdict(entry), "reference": entry.reference})
    else:
        print(f"{entry.reference}: {entry.rows} rows, {human_bytes(entry.size_bytes)}")


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List what is registered, by name, oldest version first."""
    entries = list_entries()
    if as_json:
        print_json([{**asdict(entry), "reference": entry.reference} for entry in entries])
    elif not entries:
        print("nothing is registered: `turnwright data register NAME PATH` adds a file")
    else:
        print_table(
            ("reference", "rows", "size", "registered", "file"),
            [(one.reference, one.rows, human_bytes(one.size_bytes), one.registered, one.file) for one in entries],
        )


def _split_domain(
    name: str, out: Path, *, seed: int, validation: float, test: float, by: str | None, as_json: bool
) -> None:
    domain, *others = load_domains(name)
    if others or by is not None:
        raise ConfigError(
            f"{name}: split one domain at a time, which has the same shares of its labels in all splits without --by"
        )
    lock = split_folder(domain.folder, out, seed=seed, validation=validation, test=test)
    if as_json:
        counts = {split: locked.count for split, locked in lock.splits.items()}
        print_json({"passed": True, "lock": out / LOCK_NAME, "counts": counts})
    else:
        print_table(("split", "rows"), [(split, locked.count) for split, locked in lock.splits.items()])
        print(
            f"set the environment's options split_lock = '{out / LOCK_NAME}' and, to train, acknowledge_licence = true"
        )


def _passed(findings: Sequence[Finding]) -> bool:
    return all(finding.severity != "error" for finding in findings)


def _print_scans(scans: dict[str, Scan]) -> None:
    print_table(("file", "rows", "errors"), [(name, len(one.tasks), len(one.errors)) for name, one in scans.items()])


def _print_findings(findings: Sequence[Finding]) -> None:
    ordered = sorted(findings, key=lambda finding: finding.severity != "error")
    for one in ordered[:SHOWN]:
        print(f"{one.severity} {one.code} ({one.where}): {one.evidence}; {one.cure}")
    if len(ordered) > SHOWN:
        print(f"and {len(ordered) - SHOWN} more: --json has all")
