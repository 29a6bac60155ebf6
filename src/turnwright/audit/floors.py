"""Floors: what plays without knowledge earn. Above the majority class, a grader can be fooled or there is no task."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnwright.audit.answer_form import Truths
from turnwright.audit.idle import MAJORITY_CLASS, IdlePlay, copied_plays, idle_plays, majority_share
from turnwright.audit.judge import Judge
from turnwright.audit.play import play
from turnwright.audit.report import Floor
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.scripts import numbered

STANDARD_ERRORS = 3.0
"""How far above the majority class an idle play must be before chance no longer explains it."""
RARELY = 0.05
"""Share of tasks that no play is blamed for: answers written otherwise may mean the same now and then."""
FEWEST_TASKS = 20
"""With fewer tasks, nothing is said about how frequent an answer is."""
MOST_ALIKE = 0.5
"""Share of tasks that one and the same course of action may solve where the state of the world is graded."""
LOPSIDED = 0.9
"""Share of one answer from which there is little left to learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """What plays without knowledge came to."""

    shares: Mapping[str, Floor]
    findings: tuple[Finding, ...]
    played: Mapping[str, Sequence[Episode]]
    """Episodes by the name of the play, in the order of the tasks."""


async def check_floors(
    prototype: Environment,
    tasks: Sequence[Task],
    solved: Sequence[Episode],
    truths: Truths | None,
    judge: Judge,
    *,
    seed: int,
) -> Floors:
    """Play every idle play on every task; return the floors, and those that are too high."""
    majority = majority_share(tasks, truths, solved)
    shares: dict[str, Floor] = {}
    played: dict[str, list[Episode]] = {}
    findings = [*_lopsided(majority, len(tasks), truths)]
    above = majority + STANDARD_ERRORS * math.sqrt(majority * (1 - majority) / max(len(tasks), 1))
    limit = max(above, RARELY)
    plays = idle_plays(tasks, prototype.instructions, prototype.tool_specs(), truths, seed=seed) if tasks else ()
    copied = copied_plays(solved, seed=seed) if tasks else ()
    for idle in (*copied, *plays):
        episodes = [await play(prototype, task, numbered(idle.messages(task)), seed=seed) for task in tasks]
        played[idle.name] = episodes
        shares[idle.name] = judge.share(episodes)
        if truths is None and idle in copied:
            # Where the state is graded, doing always the same is what naming the majority class is elsewhere.
            limit = max(limit, min(shares[idle.name].by_reward, MOST_ALIKE))
        findings += _too_high(idle, shares[idle.name], limit, f"{len(tasks)} tasks; {_told(majority, truths)}")
    shares[MAJORITY_CLASS] = Floor(by_reward=majority, by_score=majority if judge.scorer else None)
    return Floors(shares=shares, findings=tuple(findings), played=played)


def _too_high(idle: IdlePlay, share: Floor, limit: float, of: str) -> list[Finding]:
    return [
        Finding(
            code=idle.code,
            severity="error",
            where=grader,
            evidence=f"the {grader} calls the play {idle.name!r} solved on {found:.1%} of {of}",
            cure="compare each field for equality within a closed set of labels, read one answer block only, and grade "
            "the state that the task asks for",
        )
        for grader, found in (("reward", share.by_reward), ("scorer", share.by_score))
        if found is not None and found > limit + 1e-9
    ]


def _told(majority: float, truths: Truths | None) -> str:
    what = "naming the majority class" if truths is not None else "always making the most frequent calls"
    return f"{what} alone gives {majority:.1%}"


def _lopsided(majority: float, num_tasks: int, truths: Truths | None) -> list[Finding]:
    if num_tasks < FEWEST_TASKS or majority < LOPSIDED or truths is None:
        return []
    return [
        Finding(
            code="data.majority",
            severity="warning",
            where=f"answer {dict(truths.commonest)}",
            evidence=f"it is right on {majority:.1%} of {num_tasks} tasks: a policy that says nothing else looks good",
            cure="draw tasks so that each answer is frequent enough to be learned",
        )
    ]
