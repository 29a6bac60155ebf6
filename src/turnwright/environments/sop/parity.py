"""Parity: do recorded tools answer as the checkout's own tools.py does, on every row?

row --> arguments of each lookup --> recorded answer == answer of tools.py in its sandbox, errors alike
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turnwright.core.errors import DatasetError, ToolError, TurnwrightError
from turnwright.core.finding import Finding
from turnwright.core.message import ToolSpec
from turnwright.environments.base import ToolCrash
from turnwright.environments.sop.lookups import Cell, CellType, Lookup, Row
from turnwright.environments.sop.sandbox import SandboxedTools, ToolsProcess

if TYPE_CHECKING:
    from turnwright.environments.sop.environment import SopEnvironment

CHECKED_ROWS = 20
"""Rows that an audit compares; ``compare_tools`` takes all of them."""
NAMED = 5
READ_AS: Mapping[str, CellType] = {"boolean": "boolean", "integer": "integer", "number": "number"}
ERROR = "an error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One call that the two answer differently."""

    tool: str
    row: int
    arguments: Mapping[str, Any]
    recorded: str
    real: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Result of a comparison."""

    calls: int
    mismatches: tuple[Mismatch, ...]


def compare_tools(environment: "SopEnvironment", tools: SandboxedTools, *, rows: int | None = None) -> Parity:
    """Ask both for the first ``rows`` rows of the test table, None = all of it.

    Raises SandboxError where no sandbox works, and ToolCrash when tools.py cannot be used at all.
    """
    process = tools.start()
    calls = 0
    found: list[Mismatch] = []
    try:
        for index, row in enumerate(environment.folder.rows["test"][:rows]):
            for lookup in environment.lookups.values():
                arguments = arguments_of(lookup, tools.specs[lookup.tool], row)
                calls += 1
                one, other = _recorded(environment, lookup, arguments, row), _real(process, lookup, arguments)
                if one != other:
                    found.append(Mismatch(tool=lookup.tool, row=index, arguments=arguments, recorded=one, real=other))
    finally:
        process.close()
    return Parity(calls=calls, mismatches=tuple(found))


def check_parity(environment: "SopEnvironment") -> tuple[Finding, ...]:
    """Return what an audit says of the comparison: nothing where the two agree."""
    try:
        tools = environment.sandboxed or SandboxedTools(environment.folder)
        parity = compare_tools(environment, tools, rows=CHECKED_ROWS)
    except TurnwrightError as broken:
        return (
            Finding(
                code="parity.unchecked",
                severity="info",
                where="tools.py",
                evidence=f"recorded tools were not compared with the real ones: {broken}",
                cure="make a sandbox work (turnwright doctor), and install what tools.py imports",
            ),
        )
    return tuple(_findings(parity))


def arguments_of(lookup: Lookup, spec: ToolSpec, row: Row) -> dict[str, Any]:
    """Return the arguments of a call about a row: matched cells, and columns that have the name of another argument."""
    properties: Mapping[str, Mapping[str, Any]] = spec.parameters.get("properties", {})
    arguments = {name: cell.read(row) for name, cell in lookup.match.items()}
    for name in spec.parameters.get("required", ()):
        if name not in arguments:
            kind = str(properties.get(name, {}).get("type"))
            arguments[name] = column_value(row.get(name, "x"), kind, name)
    return arguments


def column_value(text: str, kind: str, column: str) -> Any:
    """Return a cell as an argument of a JSON type; a list that is not written as one is a list of the text."""
    if kind in ("array", "object"):
        for type_ in ("json", "literal"):
            try:
                value = Cell(column=column, type=type_).read({column: text})
            except DatasetError:
                continue
            if isinstance(value, list if kind == "array" else dict):
                return value
        return [text] if kind == "array" else {}
    try:
        return Cell(column=column, type=READ_AS.get(kind, "string")).read({column: text})
    except DatasetError:
        return text


def _recorded(environment: "SopEnvironment", lookup: Lookup, arguments: Mapping[str, Any], row: Row) -> str:
    try:
        return _comparable(environment.recorded_answer(lookup.tool, arguments, row), lookup)
    except ToolError:
        return ERROR


def _real(process: ToolsProcess, lookup: Lookup, arguments: Mapping[str, Any]) -> str:
    try:
        return _comparable(process.call(lookup.tool, arguments), lookup)
    except ToolError:
        return ERROR
    except ToolCrash as crash:
        return f"a crash: {crash}"


def _comparable(answer: Any, lookup: Lookup) -> str:
    """Return an answer as text in which equal JSON is equal, without the keys that have a wording of their own."""
    if isinstance(answer, dict):
        answer = {key: value for key, value in answer.items() if key not in lookup.own_words}
    # Numbers of JSON are equal whether written with a point or not.
    return json.dumps(json.loads(json.dumps(answer), parse_int=float), sort_keys=True)


def _findings(parity: Parity) -> Iterator[Finding]:
    tools = {mismatch.tool: mismatch for mismatch in reversed(parity.mismatches)}
    for name, first in list(tools.items())[:NAMED]:
        count = sum(mismatch.tool == name for mismatch in parity.mismatches)
        yield Finding(
            code="parity.tools",
            severity="error",
            where=f"tool {name!r}",
            evidence=f"{count} calls are answered differently by the lookup and by tools.py: {dict(first.arguments)} "
            f"gives {first.recorded:.150} and {first.real:.150}",
            cure="correct the lookup, or use tools = 'sandbox'",
        )
