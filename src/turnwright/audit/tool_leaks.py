"""Leaks in tools: one that hands the answer out by itself, and one that confirms a guess at a hidden value."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from turnwright.audit.answers import gold_of
from turnwright.audit.codings import coding_of
from turnwright.audit.prompt_fields import flatten, gold_columns, prompt_fields, shown_text
from turnwright.audit.prompt_leaks import FEWEST_TASKS, NEARLY_ALWAYS
from turnwright.audit.session import Observed, calls_of, session
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding, Severity
from turnwright.core.message import ToolSpec
from turnwright.environments.base import Environment

PROBED_EPISODES = 40
MOST_FLAGS = 3
"""Yes-or-no arguments of one tool whose combinations are tried."""


async def check_tool_leaks(prototype: Environment, episodes: Sequence[Episode], *, seed: int) -> tuple[Finding, ...]:
    """Call every tool with what the prompt gives, and with every combination of its flags."""
    some = episodes[:PROBED_EPISODES]
    specs = {spec.name: spec for episode in some for spec in episode.tools}
    findings: list[Finding] = []
    for spec in specs.values():
        findings += await _hands_out(prototype, spec, some, seed)
        findings += await _confirms(prototype, spec, some, seed)
    return tuple(findings)


async def _hands_out(
    prototype: Environment, spec: ToolSpec, episodes: Sequence[Episode], seed: int
) -> tuple[Finding, ...]:
    """Report a tool that answers with the ground truth at once, where solutions go another way.

    Where the solutions need no other tool, looking the answer up is the task.
    """
    fields = gold_columns([episode.task for episode in episodes])
    others = [{call.tool for call in calls_of(episode)} - {spec.name} for episode in episodes]
    if len(episodes) < FEWEST_TASKS or not fields or not all(others):
        return ()
    given: Counter[tuple[str, str]] = Counter()
    codings: dict[str, str] = {}
    for episode in episodes:
        arguments = _from_prompt(spec, episode)
        if arguments is None:
            continue
        gold = flatten(gold_of(episode.task))
        with session(prototype, episode.task, seed) as opened:
            cells = _cells(await opened.answer(spec.name, arguments))
        for name in fields:
            for cell, value in cells.items():
                coding = coding_of(value, gold.get(name, ""))
                if coding:
                    given[name, cell] += 1
                    codings[cell] = coding
    # One and the same place must tell: a table of all labels holds the right one as well.
    telling = {name: cell for (name, cell), count in given.items() if count >= NEARLY_ALWAYS * len(episodes)}
    if set(telling) != set(fields):
        return ()
    places = "; ".join(f"{cell or 'its text'} is {codings[cell]} of {name!r}" for name, cell in telling.items())
    return (
        _leak(
            spec,
            "error",
            f"asked with what the prompt says, it answers with the ground truth ({places}), where the solutions use "
            "other tools as well",
            "take the answer out of what it returns",
        ),
    )


async def _confirms(
    prototype: Environment, spec: ToolSpec, episodes: Sequence[Episode], seed: int
) -> tuple[Finding, ...]:
    """Report a tool that accepts one combination of flags only, which is another one for other tasks."""
    flags = [name for name, rule in spec.parameters.get("properties", {}).items() if rule.get("type") == "boolean"]
    if not 0 < len(flags) <= MOST_FLAGS:
        return ()
    accepted: dict[tuple[bool, ...], str] = {}
    for episode in episodes:
        passed = [
            combination
            for combination in itertools.product((True, False), repeat=len(flags))
            if await _passes(prototype, spec, episode, dict(zip(flags, combination, strict=True)), seed)
        ]
        if len(passed) > 1:
            return ()
        accepted.update(dict.fromkeys(passed, episode.key.task_id))
    if len(accepted) < 2:
        return ()
    seen = "; ".join(f"{dict(zip(flags, values, strict=True))} on {task}" for values, task in accepted.items())
    return (
        _leak(
            spec,
            "warning",
            f"it answers only when {', '.join(flags)} equal what the task hides ({seen}), and refuses all else: "
            "trying them tells an agent what it should find out",
            "answer whatever the flags say, or check them against what the agent can have seen",
        ),
    )


async def _passes(
    prototype: Environment, spec: ToolSpec, episode: Episode, flags: Mapping[str, bool], seed: int
) -> bool:
    calls = calls_of(episode)
    position = next((index for index, call in enumerate(calls) if call.tool == spec.name), len(calls))
    solved = position < len(calls)
    arguments = {**calls[position].arguments, **flags} if solved else _from_prompt(spec, episode, flags)
    if arguments is None:
        return False
    with session(prototype, episode.task, seed) as opened:
        await opened.replay(calls[:position])
        return not (await opened.answer(spec.name, arguments)).error


def _from_prompt(spec: ToolSpec, episode: Episode, known: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Return required arguments as the prompt gives them: by name, or as a solution took them out of it."""
    text = shown_text(episode)
    found: dict[str, Any] = {**prompt_fields(text)}
    for call in calls_of(episode):
        for name, value in call.arguments.items():
            if isinstance(value, str) and value and value in text:
                found[name] = value
    found.update(known or {})
    required = spec.parameters.get("required", ())
    return {name: found[name] for name in required} if all(name in found for name in required) else None


def _cells(observed: Observed) -> dict[str, str]:
    """Return the scalars of an answer by path; "" is the path of plain text."""
    if observed.error:
        return {}
    try:
        return flatten(json.loads(observed.text))
    except ValueError:
        return {"": observed.text}


def _leak(spec: ToolSpec, severity: Severity, evidence: str, cure: str) -> Finding:
    return Finding(code="leak.tool", severity=severity, where=f"tool {spec.name!r}", evidence=evidence, cure=cure)
