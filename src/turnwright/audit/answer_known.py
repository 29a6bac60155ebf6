"""Can the answer be known? An oracle that copies a field from the ground truth proves nothing about that field."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from turnwright.audit.answer_told import read_text
from turnwright.audit.answers import gold_of
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.scripts import numbered

MARK = "turnwright-audit-mark"
TRIED = 10
MOSTLY = 0.5
"""Share of tasks on which a value must be nowhere to be read."""


def check_knowable(prototype: Environment, episodes: Sequence[Episode]) -> tuple[Finding, ...]:
    """Report text fields that the oracle copies from the ground truth and that an agent reads nowhere."""
    some = [(episode, gold) for episode in episodes if (gold := gold_of(episode.task)) is not None][:TRIED]
    fields = dict.fromkeys(name for _, gold in some for name, value in gold.items() if isinstance(value, str))
    findings: list[Finding] = []
    for name in fields:
        having = [(episode, gold) for episode, gold in some if name in gold]
        copied = [(e, gold) for e, gold in having if MARK in _answer(prototype, e, {**gold, name: MARK})]
        unread = [(e, gold) for e, gold in copied if str(gold[name]).casefold() not in read_text(e).casefold()]
        if unread and len(unread) > MOSTLY * len(having):
            findings.append(
                Finding(
                    code="answer.unknown",
                    severity="error",
                    where=f"answer field {name!r}",
                    evidence=f"the oracle copies it from the ground truth, and on {len(unread)} of {len(having)} tasks "
                    f"its value is nowhere to be read, such as {unread[0][1][name]!r} ({unread[0][0].key.task_id})",
                    cure="let a tool or the prompt tell it, or take the field out of what is scored",
                )
            )
    return tuple(findings)


def _answer(prototype: Environment, episode: Episode, gold: Mapping[str, Any]) -> str:
    """Return what the oracle says last for another ground truth, when it is told what the world told before."""
    task: Task = replace(episode.task, data={**episode.task.data, "gold": gold})
    said = ""
    try:
        script = numbered(prototype.oracle(task))
        message = next(script)
        for turn in episode.turns:
            said = message.content
            message = script.send(turn.responses)
    except Exception:  # a script may break on a ground truth that is not the world's
        return said
    return said
