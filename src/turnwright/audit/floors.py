"""Floors: what answers without work earn. Above the majority class, a grader can be fooled or the task is no task."""

import math
from collections.abc import Mapping, Sequence

from turnwright.audit.answers import MAJORITY_CLASS, idle_answers, majority_share
from turnwright.audit.judge import Judge
from turnwright.audit.play import play
from turnwright.audit.report import Floor
from turnwright.core.finding import Finding
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.scripts import numbered, say

STANDARD_ERRORS = 3.0
"""How far above the majority class an idle answer must be before chance no longer explains it."""


async def check_floors(
    prototype: Environment, tasks: Sequence[Task], judge: Judge, *, seed: int
) -> tuple[Mapping[str, Floor], tuple[Finding, ...]]:
    """Play every idle answer on every task; return the floors, and those that are too high."""
    majority = majority_share(tasks)
    limit = majority + STANDARD_ERRORS * math.sqrt(majority * (1 - majority) / max(len(tasks), 1))
    floors: dict[str, Floor] = {}
    findings: list[Finding] = []
    for answer in idle_answers(tasks, prototype.instructions, seed=seed) if tasks else ():
        episodes = [await play(prototype, task, numbered([say(answer.text(task))]), seed=seed) for task in tasks]
        by_reward = sum(map(judge.by_reward, episodes)) / len(tasks)
        by_score = sum(map(bool, map(judge.by_score, episodes))) / len(tasks) if judge.scorer else None
        floors[answer.name] = Floor(by_reward=by_reward, by_score=by_score)
        for grader, share in (("reward", by_reward), ("scorer", by_score)):
            if share is not None and share > limit:
                findings.append(
                    Finding(
                        code=answer.code,
                        severity="error",
                        where=grader,
                        evidence=f"the {grader} calls the answer {answer.name!r} solved on {share:.1%} of {len(tasks)} "
                        f"tasks; naming the majority class alone gives {majority:.1%}",
                        cure="compare each field for equality within a closed set of labels, and read one answer block "
                        "only",
                    )
                )
    floors[MAJORITY_CLASS] = Floor(by_reward=majority, by_score=majority if judge.scorer else None)
    return floors, tuple(findings)
