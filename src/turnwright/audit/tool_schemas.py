"""Schemas and names of tools, against the calls that a solution makes of them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from turnwright.audit.listing import shorten_list
from turnwright.audit.prompt_fields import flatten, prompt_fields, shown_text
from turnwright.audit.session import Observed, calls_by_tool, session
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding, Severity
from turnwright.core.message import ToolSpec
from turnwright.environments.base import Environment
from turnwright.environments.json_schema import PYTHON_TYPES
from turnwright.environments.tools import Tool, argument_problems

PROBED_CALLS = 5
"""Calls of each tool that are made again without their optional arguments."""
TOLD_TO_CALL = re.compile(
    r"\b(?:call|calls|calling|invoke|invokes|invoking|run|use|uses|using|with|via)\s+(?:the\s+)?(?:tools?\s+)?"
    r"[`'\"]?([A-Za-z]\w*)\b"
)
CODE_LIKE = re.compile(r"\w_\w|[a-z][A-Z]")
"""A word that no prose has: snake_case or camelCase."""


async def check_schemas(prototype: Environment, episodes: Sequence[Episode], *, seed: int) -> tuple[Finding, ...]:
    """Check what the policy is told about each tool, also against the calls of solutions."""
    tools = _tools_on_offer(prototype, episodes)
    calls = calls_by_tool(episodes)
    findings: list[Finding] = []
    for name, spec in tools.items():
        findings += _of_spec(spec)
        findings += shorten_list(list(_of_calls(prototype, spec, calls.get(name, ()))))
        findings += await _of_optional(prototype, spec, calls.get(name, ()), episodes, seed)
    return tuple(findings)


def check_names(prototype: Environment, episodes: Sequence[Episode]) -> tuple[Finding, ...]:
    """Report tools that a solution calls, or that the instructions tell to call, and that are not on offer."""
    tools = _tools_on_offer(prototype, episodes)
    findings = [
        _unknown(f"tool {name!r}", f"the solutions call it {len(calls)} times", tools)
        for name, calls in calls_by_tool(episodes).items()
        if name not in tools
    ]
    known = set(tools) | _other_names(tools, episodes)
    for number, line in enumerate(prototype.instructions.splitlines(), start=1):
        for name in TOLD_TO_CALL.findall(line):
            if CODE_LIKE.search(name) and name not in known:
                where = f"instructions, line {number}"
                findings.append(_unknown(where, f"the agent is told to use {name!r}: {line.strip()[:120]!r}", tools))
    return shorten_list(findings)


def _tools_on_offer(prototype: Environment, episodes: Sequence[Episode]) -> Mapping[str, ToolSpec]:
    """Return the tools of the prototype and of every episode: an environment may have others for each task."""
    specs = [*prototype.tool_specs(), *(spec for episode in episodes for spec in episode.tools)]
    return {spec.name: spec for spec in specs}


def _other_names(tools: Mapping[str, ToolSpec], episodes: Sequence[Episode]) -> set[str]:
    names = {name for spec in tools.values() for name in spec.parameters.get("properties", {})}
    for episode in episodes:
        names |= set(prompt_fields(shown_text(episode))) | set(flatten(episode.task.data)) | set(episode.task.data)
        gold = episode.task.data.get("gold")
        names |= set(gold) if isinstance(gold, Mapping) else set()
    return names


def _unknown(where: str, evidence: str, tools: Mapping[str, ToolSpec]) -> Finding:
    return Finding(
        code="tool.unknown_name",
        severity="error",
        where=where,
        evidence=f"{evidence}, but the tools are: {', '.join(tools) or 'none'}",
        cure="write the name as the tool has it, or offer such a tool",
    )


def _of_spec(spec: ToolSpec) -> Iterator[Finding]:
    properties: Mapping[str, Mapping[str, Any]] = spec.parameters.get("properties", {})
    if not spec.description.strip():
        yield _schema(spec, "it has no description", "say in a docstring what it returns and when it is used")
    for name in spec.parameters.get("required", ()):
        if name not in properties:
            yield _schema(
                spec, f"it requires {name!r}, which is not among its properties", "describe it", severity="error"
            )
    told = _words(f"{spec.name} {spec.description}")
    for name, rule in properties.items():
        kind = rule.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        if kind is not None and not set(kinds) <= set(PYTHON_TYPES):
            yield _schema(
                spec, f"argument {name!r} has type {kind!r}, which is no type of JSON Schema", "correct it", "error"
            )
        if not rule.get("description") and "enum" not in rule and not _words(name) & told:
            yield _schema(
                spec,
                f"argument {name!r} is not described, and the tool's description does not speak of it either",
                "describe it under 'Args:' in the docstring: the policy knows nothing else",
            )


def _words(text: str) -> set[str]:
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", text)
    return {part.casefold().removesuffix("s") for part in parts}


def _of_calls(prototype: Environment, spec: ToolSpec, calls: Sequence[Observed]) -> Iterator[Finding]:
    tool = Tool(spec=spec, function=lambda: None)
    for call in calls:
        problems = argument_problems(tool, call.arguments)
        if problems:
            yield _schema(
                spec,
                f"the solution of {call.task_id} calls it with {dict(call.arguments)}: {'; '.join(problems)}",
                "correct the schema, or the call",
                # A tool that answers all the same only misleads.
                severity="error" if call.malformed else "warning",
            )


async def _of_optional(
    prototype: Environment, spec: ToolSpec, calls: Sequence[Observed], episodes: Sequence[Episode], seed: int
) -> list[Finding]:
    """Make calls again without their optional arguments: what the schema allows must not break the tool."""
    required = spec.parameters.get("required", ())
    by_id = {episode.key.task_id: episode.task for episode in episodes}
    longer = [call for call in calls if not call.error and set(call.arguments) - set(required)]
    for call in longer[:PROBED_CALLS]:
        less = {name: value for name, value in call.arguments.items() if name in required}
        with session(prototype, by_id[call.task_id], seed) as opened:
            observed = await opened.answer(spec.name, less)
        left_out = sorted(set(call.arguments) - set(less))
        others = spec.parameters.get("properties", {}).keys() - call.arguments.keys()
        # "Give one of these" names several; a refusal that names what was left out alone calls it required.
        refused = observed.error and _names(observed.text, left_out) and not _names(observed.text, others)
        if observed.crashed or refused:
            return [
                _schema(
                    spec,
                    f"the schema calls {', '.join(left_out)} optional, but without: {observed.text[:200]}",
                    "give the parameter no default, or let the tool do without it",
                    severity="error" if observed.crashed else "warning",
                )
            ]
    return []


def _names(text: str, names: Iterable[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def _schema(spec: ToolSpec, evidence: str, cure: str, severity: Severity = "warning") -> Finding:
    return Finding(code="tool.schema", severity=severity, where=f"tool {spec.name!r}", evidence=evidence, cure=cure)
