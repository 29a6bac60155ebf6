"""Solutions: can every task be solved, within the turns the environment allows?"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from turnwright.audit.answers import gold_of, gold_script
from turnwright.audit.judge import Judge
from turnwright.audit.listing import shorten_list
from turnwright.audit.play import play
from turnwright.audit.report import OracleResult, Proposal
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.scripts import Script, numbered

TYPICAL_QUANTILE = 0.9
"""Share of solved tasks that need no more than the proposed typical_turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solutions:
    """Episodes of the oracle, or of the ground truth where there is none."""

    kind: Literal["rules", "gold"]
    episodes: tuple[Episode, ...]
    seconds: float
    """Time that playing them took."""

    def followed_by(self, more: "Solutions") -> "Solutions":
        """Return these and more, of other tasks of the same environment."""
        return replace(self, episodes=(*self.episodes, *more.episodes), seconds=self.seconds + more.seconds)


async def play_solutions(prototype: Environment, tasks: Sequence[Task], *, seed: int) -> Solutions:
    """Play the oracle on tasks; without an oracle, state the ground truth of those that have one."""
    kind: Literal["rules", "gold"] = "rules" if tasks and _has_oracle(prototype, tasks[0]) else "gold"
    tools = prototype.tool_specs()
    started = time.monotonic()
    episodes: list[Episode] = []
    for task in tasks:
        gold = gold_of(task)
        if kind == "rules":
            episodes.append(await play(prototype, task, _begun(prototype, task), seed=seed))
        elif gold is not None:
            episodes.append(await play(prototype, task, numbered(gold_script(task, gold, tools)), seed=seed))
    return Solutions(kind=kind, episodes=tuple(episodes), seconds=time.monotonic() - started)


def _has_oracle(prototype: Environment, task: Task) -> bool:
    try:
        prototype.oracle(task)
    except NotImplementedError:
        return False
    except Exception:  # a script that breaks is told apart when it is played
        return True
    return True


def _begun(prototype: Environment, task: Task) -> Script:
    """Begin the oracle when it is first asked, so that what it raises belongs to the episode."""
    return (yield from numbered(prototype.oracle(task)))


def count_solved(solutions: Solutions, judge: Judge) -> OracleResult:
    """Return how many tasks were solved."""
    solved = sum(judge.solved(episode) for episode in solutions.episodes)
    return OracleResult(kind=solutions.kind, solved=solved, of=len(solutions.episodes))


def check_solutions(solutions: Solutions, judge: Judge, *, beyond: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """Report what the solutions do not solve, but for the ids of tasks that are known to be ``beyond`` any rule."""
    if not solutions.episodes:
        return (
            Finding(
                code="oracle.missing",
                severity="warning",
                where="oracle",
                evidence="the environment has no oracle, and its tasks have no data['gold'] object to answer with",
                cure="write 'def oracle(self, task)': without one nothing shows that the tasks can be solved",
            ),
        )
    if solutions.kind == "gold" and not any(map(judge.solved, solutions.episodes)):
        return (
            Finding(
                code="oracle.missing",
                severity="warning",
                where="oracle",
                evidence="there is no oracle, and the ground truth in the ordinary answer format solves none of "
                f"{len(solutions.episodes)} tasks: {judge.complaint(solutions.episodes[0])}",
                cure="write 'def oracle(self, task)': without one nothing shows that the tasks can be solved",
            ),
        )
    name = "the oracle" if solutions.kind == "rules" else "stating the ground truth"
    failures = [
        Finding(
            code="oracle.fails",
            severity="error",
            where=episode.key.task_id,
            evidence=f"{name} does not solve the task: {judge.complaint(episode)}",
            cure="correct the oracle, the tools or the reward until they agree: an unsolvable task teaches nothing",
        )
        for episode in solutions.episodes
        if not judge.solved(episode) and episode.key.task_id not in beyond
    ]
    return shorten_list(failures)


def propose_turns(solutions: Solutions, judge: Judge) -> Proposal:
    """Propose turn settings from the solved episodes; ground truth without rules says nothing about turns needed."""
    turns = sorted(len(episode.turns) for episode in solutions.episodes if judge.solved(episode))
    if not turns or solutions.kind == "gold":
        return Proposal(typical_turns=None, max_turns=None)
    typical = turns[math.ceil(TYPICAL_QUANTILE * len(turns)) - 1]
    return Proposal(typical_turns=typical, max_turns=max(math.ceil(1.5 * typical), turns[-1]))


def check_turns(prototype: Environment, solutions: Solutions, judge: Judge, proposed: Proposal) -> tuple[Finding, ...]:
    """Report a turn limit that cuts the solutions themselves."""
    cut = [e for e in solutions.episodes if judge.solved(e) and len(e.turns) > prototype.turn_limit]
    if not cut or solutions.kind == "gold":
        return ()
    return (
        Finding(
            code="turns.low",
            severity="error",
            where=cut[0].key.task_id,
            evidence=f"the oracle needs more than the limit of {prototype.turn_limit} turns on {len(cut)} of "
            f"{len(solutions.episodes)} tasks, {max(len(episode.turns) for episode in cut)} at most",
            cure=f"set typical_turns = {proposed.typical_turns} or max_turns = {proposed.max_turns} on the environment",
        ),
    )
