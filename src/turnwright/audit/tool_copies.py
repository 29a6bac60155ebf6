"""Answers under another name: a column of which nobody speaks, and which is what the solution comes to.

Passing on what a tool says is honest work where the agent is told of it: a session's token, the field asked for.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from turnwright.audit.answers import gold_of
from turnwright.audit.codings import plain
from turnwright.audit.prompt_fields import flatten
from turnwright.audit.prompt_leaks import FEWEST_TASKS, NEARLY_ALWAYS
from turnwright.audit.session import calls_of, cells_of
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding


def check_copies(episodes: Sequence[Episode]) -> tuple[Finding, ...]:
    """Report columns in what tools answer that equal the ground truth, or what solutions do later."""
    if len(episodes) < FEWEST_TASKS:
        return ()
    equal: Counter[tuple[str, str, str]] = Counter()
    values: dict[tuple[str, str, str], set[str]] = {}
    for episode in episodes:
        for key, value in set(_pairs(episode)):
            equal[key] += 1
            values.setdefault(key, set()).add(value)
    told = _words("\n".join(_told(episode) for episode in episodes[:FEWEST_TASKS]))
    findings: dict[tuple[str, str], Finding] = {}
    for (tool, cell, target), count in equal.items():
        name = re.sub(r"\[\d+\]", "", cell).rpartition(".")[2]
        known = not name or f" {_words(name)} " in f" {told} "
        if known or count < NEARLY_ALWAYS * len(episodes) or len(values[tool, cell, target]) < 2:
            continue
        findings[tool, cell] = Finding(
            code="leak.tool",
            severity="error",
            where=f"tool {tool!r}, field {cell!r}",
            evidence=f"on {count} of {len(episodes)} tasks it is what {target} must be, and nothing that the agent is "
            "told speaks of such a field",
            cure="take it out of what the tool returns, or say in its description what it is",
        )
    return tuple(findings.values())


def _pairs(episode: Episode) -> Iterator[tuple[tuple[str, str, str], str]]:
    """Yield tool, field and what it equals: the ground truth, or an argument of a later call."""
    calls = calls_of(episode)
    shown = "\n".join(message.content for message in episode.opening if message.role == "user")
    gold = {f"the answer's {name!r}": value for name, value in flatten(gold_of(episode.task) or {}).items()}
    for position, call in enumerate(calls):
        later = {
            f"argument {name!r} of {other.tool}": value
            for other in calls[position + 1 :]
            for name, value in flatten(other.arguments).items()
        }
        for cell, value in cells_of(call).items():
            for target, wanted in {**later, **gold}.items():
                if value and plain(value) == plain(wanted) and value not in shown:
                    yield (call.tool, cell, target), value


def _told(episode: Episode) -> str:
    """Return what the agent is told of names: opening and tools, not what tools answer."""
    tools = [f"{spec.name} {spec.description} {spec.parameters}" for spec in episode.tools]
    return "\n".join([*(message.content for message in episode.opening), *tools])


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+|\d+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).casefold()))
