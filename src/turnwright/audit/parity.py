"""Parity: are the tools those of production? A policy trained on other schemas makes calls that production refuses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnwright.core.finding import Finding, Severity
from turnwright.core.message import ToolSpec
from turnwright.environments.base import Environment

ABSENT = "absent"


def check_parity(prototype: Environment, production: Sequence[ToolSpec] | None) -> tuple[Finding, ...]:
    """Compare the environment's tools with production's, by name; None compares with nothing."""
    if production is None:
        return ()
    ours = {spec.name: spec for spec in prototype.tool_specs()}
    theirs = {spec.name: spec for spec in production}
    return tuple(
        finding
        for name in dict.fromkeys((*theirs, *ours))
        for finding in _of_tool(name, ours.get(name), theirs.get(name))
    )


def _of_tool(name: str, ours: ToolSpec | None, theirs: ToolSpec | None) -> Iterator[Finding]:
    where = f"tool {name!r}"
    if ours is None:
        yield _differs(
            "parity.tool", where, "production has it, the environment does not", "offer it, or a policy never learns it"
        )
    elif theirs is None:
        yield _differs(
            "parity.tool",
            where,
            "the environment has it, production does not",
            "take it out: a policy that relies on it fails in production",
        )
    else:
        if " ".join(ours.description.split()) != " ".join(theirs.description.split()):
            yield _schema(where, "description", ours.description, theirs.description, "warning")
        yield from _of_arguments(where, ours.parameters, theirs.parameters)


def _of_arguments(where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Finding]:
    mine: Mapping[str, Any] = ours.get("properties", {})
    other: Mapping[str, Any] = theirs.get("properties", {})
    for name in dict.fromkeys((*other, *mine)):
        place = f"{where}, argument {name!r}"
        if name not in mine or name not in other:
            yield _schema(
                place, "argument", "present" if name in mine else ABSENT, "present" if name in other else ABSENT
            )
            continue
        needed = [name in schema.get("required", ()) for schema in (ours, theirs)]
        if needed[0] != needed[1]:
            yield _schema(place, "required", needed[0], needed[1])
        for key in sorted((mine[name].keys() | other[name].keys()) - {"title"}):
            one, two = mine[name].get(key, ABSENT), other[name].get(key, ABSENT)
            if key in ("enum", "type") and isinstance(one, list) and isinstance(two, list):
                one, two = sorted(map(str, one)), sorted(map(str, two))
            if one != two:
                yield _schema(place, key, one, two, "warning" if key in ("description", "default") else "error")


def _schema(where: str, what: str, ours: object, theirs: object, severity: Severity = "error") -> Finding:
    return _differs(
        "parity.schema",
        where,
        f"{what} is {str(ours)[:160]!r} here and {str(theirs)[:160]!r} in production",
        "take the tool's schema over from production, and record again what was recorded under the old one",
        severity,
    )


def _differs(code: str, where: str, evidence: str, cure: str, severity: Severity = "error") -> Finding:
    return Finding(code=code, severity=severity, where=where, evidence=evidence, cure=cure)
