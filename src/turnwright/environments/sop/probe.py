"""Probe: do the tools of a checkout answer at all? Each is asked about some rows, twice, by two programs of their own.

    row --> arguments by the schema, from columns of the same name --> answer | refusal | crash --> findings per tool

Nothing needs to be known of the domain. Benchmarks have tools that do not exist under the name they are offered by,
that answer with nothing, or that draw lots; a policy can learn nothing from any of them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from turnwright.core.errors import ToolError, TurnwrightError
from turnwright.core.finding import Finding, Severity
from turnwright.core.message import ToolSpec
from turnwright.environments.base import ToolCrash
from turnwright.environments.sop.lookups import Row
from turnwright.environments.sop.parity import column_value
from turnwright.environments.sop.sandbox import SandboxedTools

if TYPE_CHECKING:
    from turnwright.environments.sop.environment import SopEnvironment

PROBED_ROWS = 8
FEWEST_CALLS = 5
"""Different calls from which equal answers are no chance."""
EMPTY = frozenset({"null", '""', "{}", "[]"})
UNKNOWN = ("unknown", "invalid", "not found", "unsupported", "no such", "not implemented")
"""Words with which a dispatcher refuses a name."""
PLACEHOLDERS: Mapping[str, Any] = {"integer": 0, "number": 0, "boolean": True, "array": [], "object": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """One call and what came of it."""

    arguments: str
    kind: Literal["answer", "refusal", "crash"]
    text: str


def probe_tools(environment: "SopEnvironment") -> tuple[Finding, ...]:
    """Return what is wrong with tools that run in a sandbox; nothing where the tools are recorded."""
    tools = environment.sandboxed
    if tools is None:
        return ()
    rows = [row for _, row in environment.folder.task_rows("test")][:PROBED_ROWS]
    try:
        # A generator that is seeded while the tools are imported draws alike in all episodes of one program.
        programs = (tools, tools.anew())
        first, second = ({spec.name: _ask(one, spec, rows) for spec in one.specs.values()} for one in programs)
    except TurnwrightError as broken:
        return (
            _finding(
                "tool.unanswered", "error", "tools.py", f"no tool can be asked: {broken}", "see turnwright doctor"
            ),
        )
    return tuple(finding for name in tools.specs for finding in _judge(name, first[name], second[name]))


def probe_arguments(spec: ToolSpec, row: Row) -> dict[str, Any]:
    """Return arguments about a row: columns that have an argument's name, and placeholders for what it lacks."""
    properties: Mapping[str, Mapping[str, Any]] = spec.parameters.get("properties", {})
    required = spec.parameters.get("required", ())
    arguments: dict[str, Any] = {}
    for name, rule in properties.items():
        kind = str(rule.get("type"))
        if name in row:
            arguments[name] = column_value(row[name], kind, name)
        elif name in required:
            choices = rule.get("enum")
            arguments[name] = choices[0] if isinstance(choices, list) and choices else PLACEHOLDERS.get(kind, "x")
    return arguments


def _ask(tools: SandboxedTools, spec: ToolSpec, rows: Sequence[Row]) -> list[Probed]:
    process = tools.start()
    found: list[Probed] = []
    try:
        for row in rows:
            arguments = probe_arguments(spec, row)
            try:
                kind, text = "answer", json.dumps(process.call(spec.name, arguments), sort_keys=True)
            except ToolError as refusal:
                kind, text = "refusal", str(refusal)
            except ToolCrash as crash:
                kind, text = "crash", str(crash)
            found.append(Probed(arguments=json.dumps(arguments), kind=kind, text=text))
            if kind == "crash":
                process.close()
                process = tools.start()
    finally:
        process.close()
    return found


def _judge(name: str, first: Sequence[Probed], second: Sequence[Probed]) -> Iterator[Finding]:
    where = f"tool {name!r}"
    crashes = [call for call in first if call.kind == "crash"]
    texts = {call.text for call in first}
    if first and all(call.kind != "answer" for call in first):
        (text, *_) = sorted(texts)
        words = text.casefold()
        if len(texts) == 1 and name.casefold() in words and any(word in words for word in UNKNOWN):
            yield _finding(
                "tool.unknown_name", "error", where, f"tools.py does not know it: {text[:200]!r}",
                "offer it under the name that process_tool_call knows",
            )  # fmt: skip
            return
        yield _finding(
            "tool.refuses", "error" if crashes else "warning", where,
            f"it answers none of {len(first)} calls that name records of the table, such as "
            f"{first[0].arguments[:200]}: {first[0].text[:200]}",
            "see whether its schema names what it needs, and whether its records are there",
        )  # fmt: skip
        return
    if crashes:
        yield _finding(
            "tool.breaks", "error", where,
            f"{len(crashes)} of {len(first)} calls that name records of the table break it, such as "
            f"{crashes[0].arguments[:200]}: {crashes[0].text[:200]}",
            "mend tools.py, or describe the tool under 'lookups' in metadata.json",
        )  # fmt: skip
    differing = [(one, other) for one, other in zip(first, second, strict=True) if one.text != other.text]
    if differing:
        one, other = differing[0]
        yield _finding(
            "tool.random", "error", where,
            f"the same {len(differing)} of {len(first)} calls are answered differently in two episodes: "
            f"{one.arguments[:120]} gives {one.text[:120]} and {other.text[:120]}",
            "answer from the table; an answer that changes can be neither graded nor replayed",
        )  # fmt: skip
    elif len({call.arguments for call in first}) >= FEWEST_CALLS and len(texts) == 1 and texts <= EMPTY:
        yield _finding(
            "tool.constant", "error", where, f"it answers {len(first)} different calls with {texts.pop()}",
            "let it answer from the record that was asked for, or take it out",
        )  # fmt: skip


def _finding(code: str, severity: Severity, where: str, evidence: str, cure: str) -> Finding:
    return Finding(code=code, severity=severity, where=where, evidence=evidence, cure=cure)
