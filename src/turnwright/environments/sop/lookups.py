"""Lookups: what the recorded tools of a SOP-Bench folder match and answer, and the table they answer from.

arguments --typed--> first row whose cells equal them --> an object of cells and constants | one cell | an error
"""

import ast
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from turnwright.core.errors import DatasetError, ToolError

CellType = Literal["string", "text", "boolean", "integer", "number", "json", "literal"]
"""How the text of a cell is read: "string" verbatim, "text" with null for a blank, "literal" as a Python literal such
as ``['A', 'B']``."""
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One column of the table, with the type its cells are read as."""

    column: str
    type: CellType = "string"
    blank: str | None = None
    """What a blank cell is read as, unless the type is "string"."""

    def read(self, row: Row) -> Any:
        """Return the typed value in ``row``.

        Raises DatasetError when the text is not of the type.
        """
        text = row[self.column]
        if self.type == "string":
            return text
        if not text.strip():
            return self.blank
        try:
            return _read(text, self.type)
        except (ValueError, KeyError, SyntaxError, RecursionError, MemoryError) as error:
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
    value: Cell | str | None = None
    """The whole answer, in place of an object: a cell, or a text that is the same for every row."""
    echo: tuple[str, ...] = ()
    """Arguments that the answer repeats."""
    truthy: tuple[str, ...] = ()
    """Arguments that must not be false, zero or empty."""
    otherwise: Mapping[str, Any] | None = None
    """The answer when no record matches; None = an error."""
    own_words: tuple[str, ...] = ()
    """Keys of the answer with a wording of ours, which need not equal what the tool itself says."""
    scope: str | None = None
    """Column that restricts the rows to those that share the task's cell; also the task's cluster."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells it reads."""
        whole = (self.value,) if isinstance(self.value, Cell) else ()
        return (*self.match.values(), *self.returns.values(), *whole)

    @property
    def columns(self) -> frozenset[str]:
        """Columns it needs."""
        return frozenset(cell.column for cell in self.cells) | ({self.scope} if self.scope else set())


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """An error a tool gives once: on its first call of an episode."""

    column: str
    """Names the tool, per task; blank = none."""
    message: str


class RecordedTable:
    """One lookup over the rows of one table."""

    def __init__(self, lookup: Lookup, rows: Sequence[Row]) -> None:
        """Index the rows; raises DatasetError when a matched cell is not of its type."""
        self.lookup = lookup
        self._first: dict[tuple[str, ...], Row] = {}
        self.shadowed: tuple[Row, ...] = ()
        """Rows that no call reaches, because an earlier one has the same matched cells."""
        for row in rows:
            key = (row[lookup.scope] if lookup.scope else "", *(_key(c, c.read(row)) for c in lookup.match.values()))
            asked = all(cell.read(row) for name, cell in lookup.match.items() if name in lookup.truthy)
            if self._first.setdefault(key, row) is not row and lookup.match and asked:
                self.shadowed = (*self.shadowed, row)

    def answer(self, arguments: Mapping[str, Any], task_row: Row) -> Any:
        """Answer a call of a task.

        Raises ToolError, in words for the agent, when an argument or a record is missing.
        """
        lookup = self.lookup
        missing = [name for name in lookup.match if name not in arguments]
        missing += [name for name in lookup.truthy if name in arguments and not arguments[name]]
        if missing:
            raise ToolError(f"Missing required argument: {', '.join(missing)}")
        row = task_row
        if lookup.match:
            scope = task_row[lookup.scope] if lookup.scope else ""
            wanted = tuple(_key(cell, arguments[name]) for name, cell in lookup.match.items())
            found = self._first.get((scope, *wanted))
            if found is None and lookup.otherwise is not None:
                return dict(lookup.otherwise)
            if found is None:
                raise ToolError("no " + ", ".join(f"{name} {arguments[name]}" for name in lookup.match))
            row = found
        if lookup.value is not None:
            return lookup.value.read(row) if isinstance(lookup.value, Cell) else lookup.value
        repeated = {name: arguments.get(name) for name in lookup.echo}
        return repeated | {key: cell.read(row) for key, cell in lookup.returns.items()} | dict(lookup.constants)


def lookup_from_json(entry: Mapping[str, Any]) -> Lookup:
    """Read one entry of ``lookups`` in metadata.json."""
    value = entry.get("value")
    return Lookup(
        tool=entry["tool"],
        match=_cells(entry.get("match", {})),
        returns=_cells(entry.get("returns", {})),
        constants=entry.get("constants", {}),
        value=Cell(**value) if isinstance(value, dict) else value,
        echo=tuple(entry.get("echo", ())),
        truthy=tuple(entry.get("truthy", ())),
        otherwise=entry.get("otherwise"),
        own_words=tuple(entry.get("own_words", ())),
        scope=entry.get("scope"),
    )


def lookup_to_json(lookup: Lookup) -> dict[str, Any]:
    """Return the entry that ``lookup_from_json`` reads; what is not used is left out."""
    entry: dict[str, Any] = {
        "tool": lookup.tool,
        "match": {name: _cell_to_json(cell) for name, cell in lookup.match.items()},
        "returns": {name: _cell_to_json(cell) for name, cell in lookup.returns.items()},
        "constants": lookup.constants,
        "value": _cell_to_json(lookup.value, whole=True) if isinstance(lookup.value, Cell) else lookup.value,
        "echo": lookup.echo,
        "truthy": lookup.truthy,
        "otherwise": lookup.otherwise,
        "own_words": lookup.own_words,
        "scope": lookup.scope,
    }
    return {key: value for key, value in entry.items() if value or key == "tool"}


def _cells(entries: Mapping[str, Any]) -> dict[str, Cell]:
    return {name: Cell(column=cell) if isinstance(cell, str) else Cell(**cell) for name, cell in entries.items()}


def _cell_to_json(cell: Cell, *, whole: bool = False) -> Any:
    if cell == Cell(column=cell.column) and not whole:
        return cell.column
    return {"column": cell.column, "type": cell.type} | ({} if cell.blank is None else {"blank": cell.blank})


def _read(text: str, type_: CellType) -> Any:
    if type_ == "text":
        return text
    if type_ == "boolean":
        return {"true": True, "false": False}[text.strip().casefold()]
    if type_ == "json":
        # Tables in the wild hold NaN, which is not JSON: it means that there is no value.
        return json.loads(text, parse_constant=lambda _: None)
    if type_ == "literal":
        return ast.literal_eval(text)
    if type_ == "integer":
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None


def _key(cell: Cell, value: Any) -> str:
    """Return ``value`` in a form that is equal exactly when the values are; JSON keeps true and 1 apart."""
    if cell.type == "number" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    return json.dumps(value, sort_keys=True, default=str)
