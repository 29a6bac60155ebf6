"""SopFolder: a domain folder in the format of SOP-Bench (https://github.com/amazon-science/SOP-Bench), read or written.

    sop.txt                     the procedure, utf-8 or latin-1
    toolspecs.json              [{"toolSpec": {"name", "description", "inputSchema": {"json": <JSON Schema>}}}]
    metadata.json               name, output_columns, input_columns; and our extensions, see below
    test_set_with_outputs.csv   test tasks, their gold answers and the records behind the tools, in one table
    train.csv, validation.csv   the same for the other splits (ours; SOP-Bench has test rows only)

Extensions in metadata.json: ``lookups`` (what each tool matches and returns), ``task_column`` (ids; a row without one
holds records only) and ``transient`` (a column naming the tool whose first call answers with an error).
Cells are read as strings, without any guessing at missing values; types are applied where a lookup names one.
"""

import ast
import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.finding import Finding
from turnwright.core.message import ToolSpec
from turnwright.core.task import Split

CellType = Literal["string", "boolean", "integer", "number", "json", "literal"]
"""How the text of a cell is read; "literal" is a Python literal, as in ``['A', 'B']``."""
Row = Mapping[str, str]

SPLIT_FILES: Mapping[Split, str] = {
    "train": "train.csv",
    "validation": "validation.csv",
    "test": "test_set_with_outputs.csv",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One column of the table, with the type its cells are read as."""

    column: str
    type: CellType = "string"

    def read(self, row: Row) -> Any:
        """Return the typed value in ``row``; a blank cell is None, except as a string.

        Raises DatasetError when the text is not of the type.
        """
        text = row[self.column]
        if self.type == "string":
            return text
        if not text.strip():
            return None
        try:
            if self.type == "boolean":
                return {"true": True, "false": False}[text.strip().casefold()]
            if self.type == "json":
                # Tables in the wild hold NaN, which is not JSON: it means that there is no value.
                return json.loads(text, parse_constant=lambda _: None)
            if self.type == "literal":
                return ast.literal_eval(text)
            if self.type == "integer":
                return int(text)
            number = float(text)
            return number if math.isfinite(number) else None
        except (ValueError, KeyError, SyntaxError) as error:
            raise DatasetError(f"column {self.column!r} holds {text!r}, expected {self.type}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A tool that answers from the table: the first row whose cells equal the arguments.

    Example: ``get_order(order)`` answers with two cells of the row, among the rows of the task's world::

        Lookup(tool="get_order", match={"order": Cell(column="order")}, scope="world",
               returns={"customer": Cell(column="customer"), "window": Cell(column="window")})
    """

    tool: str
    match: Mapping[str, Cell] = field(default_factory=dict)
    """Argument -> the cell it must equal; empty = the row of the task itself."""
    returns: Mapping[str, Cell] = field(default_factory=dict)
    """Key in the answer -> the cell it shows."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Key in the answer -> a value that is the same for every row."""
    otherwise: Mapping[str, Any] | None = None
    """The answer when no record matches; None = an error."""
    scope: str | None = None
    """Column that restricts the rows to those that share the task's cell; also the task's cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """An error a tool gives once: on its first call of an episode."""

    column: str
    """Names the tool, per task; blank = none."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SopFolder:
    """What a domain folder says."""

    name: str
    procedure: str
    tools: tuple[ToolSpec, ...]
    output_columns: tuple[str, ...]
    input_columns: tuple[str, ...]
    """Columns the agent is shown."""
    rows: Mapping[Split, tuple[Row, ...]]
    lookups: tuple[Lookup, ...] = ()
    task_column: str | None = None
    transient: Transient | None = None
    findings: tuple[Finding, ...] = ()
    """What is doubtful about the folder itself."""


def read_sop_folder(path: Path) -> SopFolder:
    """Read a domain folder.

    Raises EnvironmentLoadError when the folder or a file of it is missing or not in the format.
    """
    if not path.is_dir():
        raise EnvironmentLoadError(f"there is no SOP folder {path.resolve()}")
    metadata = _read_json(path / "metadata.json")
    rows: dict[Split, tuple[Row, ...]] = {
        split: _read_rows(path / name) for split, name in SPLIT_FILES.items() if (path / name).is_file()
    }
    if "test" not in rows:
        raise EnvironmentLoadError(f"SOP folder {path} has no {SPLIT_FILES['test']}")
    try:
        outputs = tuple(metadata["output_columns"])
        inputs, findings = _shown_columns(path, metadata, list(rows["test"][0]), outputs)
        folder = SopFolder(
            name=metadata["name"],
            procedure=_read_text(path / "sop.txt").strip(),
            tools=tuple(_tool_spec(entry) for entry in _read_json(path / "toolspecs.json")),
            output_columns=outputs,
            input_columns=inputs,
            rows=rows,
            lookups=tuple(_lookup(entry) for entry in metadata.get("lookups", ())),
            task_column=metadata.get("task_column"),
            transient=Transient(**metadata["transient"]) if "transient" in metadata else None,
            findings=findings,
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
        "lookups": [
            {
                "tool": lookup.tool,
                "match": _cells_as_json(lookup.match),
                "returns": _cells_as_json(lookup.returns),
                "constants": lookup.constants,
                "otherwise": lookup.otherwise,
                "scope": lookup.scope,
            }
            for lookup in folder.lookups
        ],
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


def _shown_columns(
    path: Path, metadata: Mapping[str, Any], columns: list[str], outputs: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    if metadata.get("input_columns"):
        shown = tuple(metadata["input_columns"])
    else:
        shown = tuple(column for column in columns if column not in outputs)
    hidden = not metadata.get("input_columns")
    if not hidden and not set(shown) & set(outputs):
        return shown, ()
    finding = Finding(
        code="leak.answer",
        severity="warning" if hidden else "error",
        where=str(path / "metadata.json"),
        evidence="input_columns is missing, which officially shows the agent every column, the label included"
        if hidden
        else f"input_columns shows the label: {sorted(set(shown) & set(outputs))}",
        cure="list input_columns without the output columns; until then every column but those is shown"
        if hidden
        else "take the output columns out of input_columns",
    )
    return shown, (finding,)


def _check_columns(path: Path, folder: SopFolder) -> None:
    """Every column that metadata names must be in every table."""
    named = {*folder.output_columns, *folder.input_columns}
    for lookup in folder.lookups:
        named |= {cell.column for cell in (*lookup.match.values(), *lookup.returns.values())}
        named |= {lookup.scope} if lookup.scope else set()
    named |= {folder.task_column} if folder.task_column else set()
    named |= {folder.transient.column} if folder.transient else set()
    for split, rows in folder.rows.items():
        missing = sorted(named - set(rows[0]))
        if missing:
            raise EnvironmentLoadError(
                f"{path / SPLIT_FILES[split]} has no column {missing[0]!r}, which metadata.json names; "
                f"it has: {', '.join(rows[0])}"
            )


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EnvironmentLoadError(f"cannot read {path}: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except ValueError as error:
        raise EnvironmentLoadError(f"{path} is not JSON: {error}") from error


def _read_rows(path: Path) -> tuple[Row, ...]:
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""), strict=True)
    rows: list[Row] = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise EnvironmentLoadError(
                    f"{path}, line {reader.line_num}: expected {len(reader.fieldnames or ())} cells as in the header"
                )
            rows.append(row)
    except csv.Error as error:
        raise EnvironmentLoadError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise EnvironmentLoadError(f"{path} has no rows")
    return tuple(rows)


def _tool_spec(entry: Mapping[str, Any]) -> ToolSpec:
    spec = entry["toolSpec"]
    return ToolSpec(name=spec["name"], description=spec["description"], parameters=spec["inputSchema"]["json"])


def _lookup(entry: Mapping[str, Any]) -> Lookup:
    cells = {
        key: {
            name: Cell(column=cell) if isinstance(cell, str) else Cell(**cell)
            for name, cell in entry.get(key, {}).items()
        }
        for key in ("match", "returns")
    }
    return Lookup(
        tool=entry["tool"],
        constants=entry.get("constants", {}),
        otherwise=entry.get("otherwise"),
        scope=entry.get("scope"),
        **cells,
    )


def _cells_as_json(cells: Mapping[str, Cell]) -> dict[str, Any]:
    return {
        name: cell.column if cell.type == "string" else {"column": cell.column, "type": cell.type}
        for name, cell in cells.items()
    }
