"""Leaks in tools: one that hands the answer out by itself, and one that confirms a guess at a hidden value."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from turnwright.audit.answers import gold_of
from turnwright.audit.codings import coding_of
from turnwright.audit.prompt_fields import flatten, gold_columns, prompt_fields, shown_text
from turnwright.audit.prompt_leaks import FEWEST_TASKS, NEARLY_ALWAYS
from turnwright.audit.session import calls_of, cells_of, session
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding, Severity
from turnwright.core.message import ToolSpec
from turnwright.environments.base import Environment

PROBED_EPISODES = 40
STATEMENT = re.compile(r"(is|has|was|are)(_|[A-Z])")
"""Beginning of a flag's name that says how things are, not what to do."""
WRONG_LABELS = 3
MOST_COMBINATIONS = 12
"""Combinations of the choices of one tool that are tried."""


async def check_tool_leaks(prototype: Environment, episodes: Sequence[Episode], *, seed: int) -> tuple[Finding, ...]:
    """Call every tool with what the prompt gives, and with every combination of its flags."""
    some = episodes[:PROBED_EPISODES]
    specs = {spec.name: spec for episode in some for spec in episode.tools}
    findings: list[Finding] = []
    for spec in specs.values():
        findings += await _hands_out(prototype, spec, some, seed)
        findings += await _confirms(prototype, spec, some, seed) or await _verifies(prototype, spec, some, seed)
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
            cells = cells_of(await opened.answer(spec.name, arguments))
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
    """Report a tool that accepts one combination of choices only, which is another one for other tasks."""
    choices = _choices(spec)
    if not choices or math.prod(map(len, choices.values())) > MOST_COMBINATIONS:
        return ()
    accepted: dict[str, str] = {}
    refused: list[str] = []
    hidden = False
    for episode in episodes:
        passed: list[dict[str, Any]] = []
        for values in itertools.product(*choices.values()):
            combination = dict(zip(choices, values, strict=True))
            passes = await _passes(prototype, spec, episode, combination, seed)
            if passes is None:
                return ()
            passed += [combination] if passes else []
        if len(passed) > 1:
            return ()
        if not passed:
            refused.append(episode.key.task_id)
        accepted.update(dict.fromkeys(map(str, passed), episode.key.task_id))
        shown = shown_text(episode)
        hidden |= any(isinstance(v, bool) or str(v) not in shown for one in passed for v in one.values())
    # A statement that only passes where it is true confirms it, too; a command, such as "confirm", states nothing.
    confirms = len(accepted) == 1 and refused and all(map(STATEMENT.match, choices))
    if not hidden or not (len(accepted) > 1 or confirms):
        return ()
    seen = "; ".join(f"{values} on {task}" for values, task in accepted.items())
    seen += f"; none on {refused[0]}" if refused else ""
    return (
        _leak(
            spec,
            "warning",
            f"it answers only when {', '.join(choices)} equal what the task hides ({seen}), and refuses all else: "
            "trying them tells an agent what it should find out",
            "answer whatever the arguments say, or check them against what the agent can have seen",
        ),
    )


async def _verifies(
    prototype: Environment, spec: ToolSpec, episodes: Sequence[Episode], seed: int
) -> tuple[Finding, ...]:
    """Report a tool that takes the answer and says whether it is right: answers to wrong ones are told apart."""
    # Where nearly every task has an answer of its own, those of other tasks are unknown here, and refused for that.
    labels = {
        name: found
        for name, values in gold_columns([episode.task for episode in episodes]).items()
        if len(found := dict.fromkeys(value for value in values if value)) <= len(episodes) / 3
    }
    told: list[bool] = []
    for episode in episodes:
        gold = flatten(gold_of(episode.task))
        calls = calls_of(episode)
        for position, call in enumerate(calls):
            meant = [(n, field) for n, v in call.arguments.items() for field in gold if str(v) == gold[field]]
            if call.tool != spec.name or len(meant) != 1:
                continue
            ((name, field),) = meant
            others = [label for label in labels.get(field, ()) if label != gold[field]][:WRONG_LABELS]
            if not others:
                continue
            right, wrong = {call.text.replace(str(call.arguments[name]), "")}, set[str]()
            for label in others:
                value = type(call.arguments[name])(label)
                with session(prototype, episode.task, seed) as opened:
                    await opened.replay(calls[:position])
                    observed = await opened.answer(spec.name, {**call.arguments, name: value})
                wrong.add(observed.text.replace(label, ""))
            told.append(not right & wrong and len(wrong) == 1)
    if len(told) < FEWEST_TASKS or sum(told) < NEARLY_ALWAYS * len(told):
        return ()
    return (
        _leak(
            spec,
            "warning",
            f"called with the right answer it says something else than with any wrong one, on {sum(told)} of "
            f"{len(told)} tasks: trying all answers tells the right one",
            "let it take what it is given, and leave the judgement to the reward",
        ),
    )


def _choices(spec: ToolSpec) -> dict[str, tuple[Any, ...]]:
    """Return the arguments that have few values, with them."""
    properties: Mapping[str, Mapping[str, Any]] = spec.parameters.get("properties", {})
    return {
        name: (True, False) if rule.get("type") == "boolean" else tuple(rule["enum"])
        for name, rule in properties.items()
        if rule.get("type") == "boolean" or rule.get("enum")
    }


async def _passes(
    prototype: Environment, spec: ToolSpec, episode: Episode, flags: Mapping[str, Any], seed: int
) -> bool | None:
    """Return whether a combination is accepted; None where the tool cannot say, as one without a recording."""
    calls = calls_of(episode)
    position = next((index for index, call in enumerate(calls) if call.tool == spec.name), len(calls))
    solved = position < len(calls)
    arguments = {**calls[position].arguments, **flags} if solved else _from_prompt(spec, episode, flags)
    if arguments is None:
        return False
    with session(prototype, episode.task, seed) as opened:
        await opened.replay(calls[:position])
        observed = await opened.answer(spec.name, arguments)
    return None if observed.crashed else not observed.error


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


def _leak(spec: ToolSpec, severity: Severity, evidence: str, cure: str) -> Finding:
    return Finding(code="leak.tool", severity=severity, where=f"tool {spec.name!r}", evidence=evidence, cure=cure)
