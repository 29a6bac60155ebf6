"""Legal calls: what a schema allows must never break a tool, whatever a policy puts in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnwright.audit.session import Observed, calls_by_tool, session
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.core.message import ToolSpec
from turnwright.environments.base import Environment

VARIED_CALLS = 3
"""Calls of each tool that are varied."""
ODD_VALUES: Mapping[str, tuple[Any, ...]] = {
    "string": ("no-such-value", "", "\u00e9\u4e2d"),
    "integer": (0, -1, 10**9),
    "number": (0, -1.5, 1e12),
    "array": ([],),
    "object": ({},),
}


async def check_tool_breaks(prototype: Environment, episodes: Sequence[Episode], *, seed: int) -> tuple[Finding, ...]:
    """Vary one argument at a time of calls that solutions make, and report tools that raise."""
    specs = {spec.name: spec for episode in episodes for spec in episode.tools}
    by_id = {episode.key.task_id: episode for episode in episodes}
    findings: list[Finding] = []
    for name, calls in calls_by_tool(episodes).items():
        spec = specs.get(name)
        if spec is None:
            continue
        for call in [one for one in calls if not one.error][:VARIED_CALLS]:
            broken = await _breaking(prototype, spec, call, calls, by_id[call.task_id], seed)
            if broken:
                findings.append(broken)
                break
    return tuple(findings)


async def _breaking(
    prototype: Environment, spec: ToolSpec, call: Observed, calls: Sequence[Observed], episode: Episode, seed: int
) -> Finding | None:
    for argument, value in _variations(spec, call, calls):
        varied = {**call.arguments, argument: value}
        with session(prototype, episode.task, seed) as opened:
            observed = await opened.answer(spec.name, varied)
        # A tool that says ToolCrash itself means it, as one without a recording does.
        if observed.crashed and not observed.meant:
            return Finding(
                code="tool.breaks",
                severity="error",
                where=f"tool {spec.name!r}, argument {argument!r}",
                evidence=f"the schema allows {str(value)[:60]!r}, but: {observed.text[:200]}",
                cure="raise ToolError with words for the policy, or narrow the schema with Literal[...]: an attempt "
                "whose tool breaks is thrown away, so that nothing is learned from the mistake",
            )
    return None


def _variations(spec: ToolSpec, call: Observed, calls: Sequence[Observed]) -> Iterator[tuple[str, Any]]:
    properties: Mapping[str, Mapping[str, Any]] = spec.parameters.get("properties", {})
    for name, value in call.arguments.items():
        rule = properties.get(name, {})
        if rule.get("enum"):
            yield from ((name, other) for other in rule["enum"] if other != value)
        elif rule.get("type") == "boolean":
            yield name, not value
        else:
            others = [one.arguments[name] for one in calls if name in one.arguments and one.arguments[name] != value]
            yield from ((name, other) for other in others[:2])
            yield from ((name, odd) for odd in ODD_VALUES.get(str(rule.get("type")), ()))
