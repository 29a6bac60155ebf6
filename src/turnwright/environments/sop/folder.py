"""SopFolder: a domain folder in the format of SOP-Bench (https://github.com/amazon-science/SOP-Bench), read or written.

    sop.txt                     the procedure, utf-8 or latin-1
    toolspecs.json              [{"toolSpec": {"name", "description", "inputSchema": {"json": <JSON Schema>}}}]
    metadata.json               name, output_columns, input_columns; and our extensions, see below
    test_set_with_outputs.csv   test tasks, their gold answers and the records behind the tools, in one table
    tools.py                    the tools themselves, in a full checkout; run in a sandbox only
    train.csv, validation.csv   the same for the other splits (ours; SOP-Bench has test rows only)

Extensions in metadata.json: ``lookups`` (what each tool matches and returns), ``task_column`` (ids; a row without one
holds records only) and ``transient`` (a column naming the tool whose first call answers with an error).
Cells are read as strings, without any guessing at missing values; types are applied where a lookup names one, and to a
label column whose values all have one. What is wrong with a folder and can be mended is one of its findings.
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.finding import Finding
from turnwright.core.message import ToolSpec
from turnwright.core.task import Split
from turnwright.environments.sop.lookups import (
    Cell,
    CellType,
    Lookup,
    RecordedTable,
    Row,
    Transient,
    lookup_from_json,
    lookup_to_json,
)
from turnwright.environments.sop.reading import (
    Mended,
    columns_there,
    names_of,
    read_json,
    read_rows,
    read_text,
    read_tools,
)

SPLIT_FILES: Mapping[Split, str] = {
    "train": "train.csv",
    "validation": "validation.csv",
    "test": "test_set_with_outputs.csv",
}
UNLABELLED = "test_set_without_outputs.csv"
INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,15})")
NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,15})(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SopFolder:
    """What a domain folder says."""

    name: str
    procedure: str
    tools: tuple[ToolSpec, ...]
    output_columns: tuple[str, ...]
    input_columns: tuple[str, ...]
    """Columns the agent is shown: never a label."""
    rows: Mapping[Split, tuple[Row, ...]]
    official_columns: tuple[str, ...] = ()
    """Columns the original shows where it shows more: labels among them; empty = ``input_columns``."""
    lookups: tuple[Lookup, ...] = ()
    task_column: str | None = None
    transient: Transient | None = None
    findings: tuple[Finding, ...] = ()
    """What is doubtful about the folder itself."""
    path: Path | None = field(default=None, compare=False)
    """Where it was read from."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the test table, in its order."""
        return tuple(self.rows["test"][0])

    @property
    def tools_file(self) -> Path | None:
        """The tools' own code, where the folder has it."""
        file = self.path / "tools.py" if self.path else None
        return file if file and file.is_file() else None

    def task_rows(self, split: Split) -> tuple[tuple[int, Row], ...]:
        """Return the rows of a split that are tasks, each with its position."""
        column = self.task_column
        return tuple(pair for pair in enumerate(self.rows[split]) if column is None or pair[1][column])

    def label_cells(self) -> dict[str, Cell]:
        """Return how each label is read: as a boolean or number where every label of the column is one."""
        rows = [row for split in self.rows for _, row in self.task_rows(split)]
        return {name: Cell(column=name, type=_label_type([row[name] for row in rows])) for name in self.output_columns}


def read_sop_folder(path: Path) -> SopFolder:
    """Read a domain folder.

    Raises EnvironmentLoadError when the folder or a file of it is missing or beyond mending.
    """
    if not path.is_dir():
        raise EnvironmentLoadError(f"there is no SOP folder {path.resolve()}")
    file, mended = path / "metadata.json", Mended()
    metadata = read_json(file)
    if not isinstance(metadata, dict):
        raise EnvironmentLoadError(f"{file} is not in the format: expected an object, got {type(metadata).__name__}")
    rows: dict[Split, tuple[Row, ...]] = {
        # The public tables are as they are; what is trained or validated on is ours to correct.
        split: read_rows(path / name, mended, pads=split == "test")
        for split, name in SPLIT_FILES.items()
        if (path / name).is_file()
    }
    if "test" not in rows:
        raise EnvironmentLoadError(f"SOP folder {path} has no {SPLIT_FILES['test']}")
    columns = tuple(rows["test"][0])
    outputs = _output_columns(path, metadata, columns, mended)
    official = _official_columns(file, metadata, columns, outputs, mended)
    inputs = tuple(column for column in official if column not in outputs)
    try:
        folder = SopFolder(
            name=_name(path, metadata, mended),
            procedure=read_text(path / "sop.txt").strip(),
            tools=read_tools(path / "toolspecs.json", mended),
            output_columns=outputs,
            input_columns=inputs,
            official_columns=official if official != inputs else (),
            rows=rows,
            lookups=tuple(lookup_from_json(entry) for entry in metadata.get("lookups") or ()),
            task_column=metadata.get("task_column"),
            transient=Transient(**metadata["transient"]) if metadata.get("transient") else None,
            findings=tuple(mended.findings),
            path=path,
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise EnvironmentLoadError(f"SOP folder {path} is not in the format: {error!r}") from error
    _check_columns(path, folder)
    return folder


def write_sop_folder(folder: SopFolder, path: Path) -> None:
    """Write ``folder`` such that ``read_sop_folder`` returns it again."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "sop.txt").write_text(folder.procedure + "\n", encoding="utf-8")
    toolspecs = [
        {"toolSpec": {"name": tool.name, "description": tool.description, "inputSchema": {"json": tool.parameters}}}
        for tool in folder.tools
    ]
    metadata: dict[str, Any] = {
        "name": folder.name,
        "output_columns": folder.output_columns,
        "input_columns": folder.input_columns,
        "lookups": [lookup_to_json(lookup) for lookup in folder.lookups],
        "task_column": folder.task_column,
    }
    if folder.transient is not None:
        metadata["transient"] = {"column": folder.transient.column, "message": folder.transient.message}
    for name, content in (("toolspecs.json", toolspecs), ("metadata.json", metadata)):
        (path / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for split, rows in folder.rows.items():
        with (path / SPLIT_FILES[split]).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _name(path: Path, metadata: Mapping[str, Any], mended: Mended) -> str:
    name = metadata.get("name")
    if isinstance(name, str) and name.strip():
        return name
    folder = path.resolve().name
    mended.note(path / "metadata.json", f"it names no domain; it is called {folder!r} after its folder", "add 'name'")
    return folder


def _output_columns(path: Path, metadata: Mapping[str, Any], columns: Sequence[str], mended: Mended) -> tuple[str, ...]:
    """Return the label columns; where metadata names none, those that the unlabelled table lacks, else the last."""
    file = path / "metadata.json"
    named = names_of(metadata.get("output_columns"), "output_columns", file, mended)
    found = columns_there(named, columns, "output_columns", file, mended)
    if found:
        return found
    unlabelled = path / UNLABELLED
    shown = set(read_rows(unlabelled, mended)[0]) if unlabelled.is_file() else set(columns[:-1])
    guessed = tuple(column for column in columns if column not in shown) or (columns[-1],)
    mended.note(
        file, f"no output column is known; {', '.join(guessed)} is taken for the label",
        "list the columns to answer under 'output_columns'", severity="error",
    )  # fmt: skip
    return guessed


def _official_columns(
    file: Path, metadata: Mapping[str, Any], columns: Sequence[str], outputs: Sequence[str], mended: Mended
) -> tuple[str, ...]:
    """Return the columns that the original shows, and report the labels among them."""
    named = names_of(metadata.get("input_columns"), "input_columns", file, mended)
    shown = columns_there(named, columns, "input_columns", file, mended)
    leaked = [column for column in shown or columns if column in outputs]
    if leaked:
        evidence = (
            f"input_columns shows the label: {', '.join(leaked)}"
            if shown
            else "input_columns is missing, which officially shows the agent every column, the label included"
        )
        finding = Finding(
            code="leak.answer",
            severity="warning",
            where=str(file),
            evidence=f"{evidence}; mode 'repaired' hides it, mode 'official' shows it",
            cure="list input_columns without the output columns",
        )
        mended.findings.append(finding)
    return shown or tuple(columns)


def _check_columns(path: Path, folder: SopFolder) -> None:
    """Every column that our extensions name must be in every table, and every other table needs the test table's."""
    named = {*folder.output_columns, *folder.input_columns}.union(*(lookup.columns for lookup in folder.lookups))
    named |= {folder.task_column} if folder.task_column else set()
    named |= {folder.transient.column} if folder.transient else set()
    for split, rows in folder.rows.items():
        missing = sorted(named - set(rows[0]))
        if missing:
            raise EnvironmentLoadError(
                f"{path / SPLIT_FILES[split]} has no column {missing[0]!r}, which metadata.json names; "
                f"it has: {', '.join(rows[0])}"
            )
    try:
        for lookup in folder.lookups:
            for rows in folder.rows.values():
                RecordedTable(lookup, rows)
    except DatasetError as error:
        raise EnvironmentLoadError(f"{path}: {error}, as a lookup in metadata.json says") from error


def _label_type(values: Sequence[str]) -> CellType:
    filled = [value.strip() for value in values if value.strip()]
    if filled and all(value.casefold() in ("true", "false") for value in filled):
        return "boolean"
    if filled and all(INTEGER.fullmatch(value) for value in filled):
        return "integer"
    return "number" if filled and all(NUMBER.fullmatch(value) for value in filled) else "text"
