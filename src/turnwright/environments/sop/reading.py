"""Reads the files of a SOP-Bench folder as they are found in the wild: mended and reported where that can be.

bytes --decoded--> text --> JSON | rows of cells;  each mended place --> one Finding
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.finding import Finding, Severity
from turnwright.core.message import ToolSpec
from turnwright.environments.sop.lookups import Row

MOST_CELL_CHARACTERS = 100_000_000
"""A cell longer than this is refused: the table is no table of tasks."""
JSON_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
NAMED = 5
"""Lines that a finding names."""


class Mended:
    """Collects what was mended while a folder is read."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.findings: list[Finding] = []

    def note(self, path: Path, evidence: str, cure: str, *, severity: Severity = "warning") -> None:
        """Report one place of one file."""
        finding = Finding(code="format.folder", severity=severity, where=str(path), evidence=evidence, cure=cure)
        self.findings.append(finding)


def read_text(path: Path) -> str:
    """Return a text file with plain line breaks: UTF-8, UTF-16 with its mark, else Latin-1.

    Raises EnvironmentLoadError when it cannot be read.
    """
    return _decode(path).replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; NaN and Infinity, which are not JSON, are read as null.

    Raises EnvironmentLoadError when it is missing or something else.
    """
    try:
        return json.loads(_decode(path), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise EnvironmentLoadError(f"{path} is not JSON: {error}") from error


def read_rows(path: Path, mended: Mended, *, pads: bool = True) -> tuple[Row, ...]:
    """Return the rows of a table, cells as written.

    A header's blank and repeated names get names of their own.

    Args:
        path: The table.
        mended: Takes note of what is mended.
        pads: Give rows that end early blank cells, instead of refusing them.

    Raises:
        EnvironmentLoadError: a row has more cells than the header, or fewer where that is refused, or there is no row.
    """
    # A NUL byte is no text, and the reader stops at it.
    text = _decode(path).replace("\0", "")
    # The limit is the process's own, and is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), MOST_CELL_CHARACTERS))
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    short: list[int] = []
    try:
        header = _header(next(lines, []), path, mended)
        for cells in lines:
            if len(cells) > len(header) or (cells and not pads and len(cells) < len(header)):
                raise EnvironmentLoadError(
                    f"{path}, line {lines.line_num}: expected {len(header)} cells as in the header, got {len(cells)}: "
                    "write one cell per column, and put cells that hold commas into quotes"
                )
            if not cells:
                continue
            if len(cells) < len(header):
                short.append(lines.line_num)
            rows.append(dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True)))
    except csv.Error as error:
        raise EnvironmentLoadError(f"{path}, line {lines.line_num}: {error}") from error
    if not rows:
        raise EnvironmentLoadError(f"{path} has no rows")
    if short:
        named = ", ".join(map(str, short[:NAMED])) + (", ..." if len(short) > NAMED else "")
        mended.note(
            path, f"{len(short)} rows end before the last column (line {named}); their last cells are read as blank",
            "write one cell per column",
        )  # fmt: skip
    return tuple(rows)


def read_tools(path: Path, mended: Mended) -> tuple[ToolSpec, ...]:
    """Return the tools of a toolspecs.json; what a schema lacks is filled in.

    Raises EnvironmentLoadError when an entry is no tool at all.
    """
    content = read_json(path)
    entries = content.get("tools", content) if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise EnvironmentLoadError(
            f"{path} is not in the format: expected a list of tools, got {type(content).__name__}"
        )
    tools: dict[str, ToolSpec] = {}
    for number, entry in enumerate(cast("list[Any]", entries), start=1):
        spec = _tool(entry, number, path, mended)
        if spec.name in tools:
            mended.note(path, f"tool {spec.name!r} is there twice; the first is taken", "take one out")
        tools.setdefault(spec.name, spec)
    return tuple(tools.values())


def names_of(value: Any, where: str, path: Path, mended: Mended) -> tuple[str, ...]:
    """Return a list of column names; a single name counts as a list of one."""
    if value is None:
        return ()
    if isinstance(value, str):
        mended.note(path, f"{where} is one text, not a list; it is read as a list of one", "write a list")
        return (value,)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in cast("list[Any]", value)):
        mended.note(path, f"{where} is {value!r}, not a list of columns; it is left out", "write a list of columns")
        return ()
    return tuple(dict.fromkeys(cast("list[str]", value)))


def columns_there(
    names: Sequence[str], columns: Sequence[str], where: str, path: Path, mended: Mended
) -> tuple[str, ...]:
    """Return the names as the table spells them, without those it does not have."""
    spelled = {column.strip().casefold(): column for column in columns}
    found: list[str] = []
    for name in names:
        column = name if name in columns else spelled.get(name.strip().casefold())
        if column is None:
            mended.note(
                path, f"{where} names {name!r}, which the table does not have (it has: {', '.join(columns)})",
                "name a column of the table, or take it out", severity="error",
            )  # fmt: skip
        elif column != name:
            mended.note(path, f"{where} names {name!r}; the table spells it {column!r}", "spell it as the table does")
        found += [] if column is None or column in found else [column]
    return tuple(found)


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EnvironmentLoadError(f"cannot read {path}: {error.strerror}") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _header(cells: list[str], path: Path, mended: Mended) -> list[str]:
    names: list[str] = []
    for index, cell in enumerate(cells):
        name = cell if cell.strip() else f"Unnamed: {index}"
        copies = sum(cell == other for other in cells[:index])
        name = f"{name}.{copies}" if copies and cell.strip() else name
        if name != cell:
            mended.note(
                path, f"column {index + 1} is named {cell!r}; it is read as {name!r}", "give it a name of its own"
            )
        names.append(name)
    return names


def _tool(entry: Any, number: int, path: Path, mended: Mended) -> ToolSpec:
    spec: Any = entry.get("toolSpec", entry) if isinstance(entry, dict) else None
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str) or not spec["name"].strip():
        raise EnvironmentLoadError(
            f"{path} is not in the format: entry {number} must be {{'toolSpec': {{'name': ...}}}}, got {entry!r:.200}"
        )
    name, description = spec["name"], spec.get("description")
    schema = spec.get("inputSchema", spec.get("input_schema"))
    schema = schema.get("json", schema) if isinstance(schema, dict) else None
    if not isinstance(description, str):
        mended.note(path, f"tool {name!r} has no description", "say what it returns and when it is used")
    problems: list[str] = []
    parameters = _schema(schema, problems)
    if problems:
        mended.note(path, f"the schema of tool {name!r} was mended: {'; '.join(problems)}", "correct the schema")
    return ToolSpec(name=name, description=description if isinstance(description, str) else "", parameters=parameters)


def _schema(schema: Any, problems: list[str]) -> dict[str, Any]:
    """Return an object schema whose properties are schemas of known types and whose required names are texts."""
    if not isinstance(schema, dict):
        problems.append("there is none")
        return {"type": "object", "properties": {}, "required": []}
    known = cast("dict[str, Any]", schema)
    given, required = known.get("properties"), known.get("required")
    properties: dict[str, Any] = {}
    for name, rule in given.items() if isinstance(given, dict) else ():
        properties[name] = dict(rule) if isinstance(rule, dict) else {}
        kind = properties[name].get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        if not isinstance(rule, dict) or (
            kind is not None and not all(isinstance(k, str) and k in JSON_TYPES for k in kinds)
        ):
            problems.append(f"argument {name!r} has no type of JSON Schema")
            properties[name].pop("type", None)
    if not isinstance(given, dict):
        problems.append("it has no properties")
    if required is not None and not (isinstance(required, list) and all(isinstance(n, str) for n in required)):
        problems.append(f"required is {required!r}, not a list of names")
        required = []
    return {**known, "type": "object", "properties": properties, "required": list(required or ())}
