"""The stages of an audit, in order; each takes what earlier ones left in the subject and returns findings.

What an environment breaks in a stage is one more finding, and the next stage goes on.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence

from turnwright.audit.answer_form import gold_truths, read_truths
from turnwright.audit.answer_known import check_knowable
from turnwright.audit.answer_told import check_answer_told
from turnwright.audit.attacks import check_attacks
from turnwright.audit.cost import check_cost
from turnwright.audit.effort import TRIED, choose_effort
from turnwright.audit.elsewhere import PLAYED_ELSEWHERE, check_elsewhere
from turnwright.audit.floors import check_floors
from turnwright.audit.guard import started_programs
from turnwright.audit.hermetic import watch_episodes
from turnwright.audit.leftovers import check_leftovers, restore
from turnwright.audit.own_source import clock_uses
from turnwright.audit.patience import EnvironmentHangsError
from turnwright.audit.prompt_leaks import check_prompt_leaks
from turnwright.audit.replay import check_isolation, check_replay
from turnwright.audit.rewards import check_rewards
from turnwright.audit.solutions import (
    Solutions,
    check_solutions,
    check_turns,
    count_solved,
    play_solutions,
    propose_turns,
)
from turnwright.audit.splits import check_twins
from turnwright.audit.subject import Subject
from turnwright.audit.tool_answers import check_constant, check_random
from turnwright.audit.tool_betrays import check_betrayals
from turnwright.audit.tool_breaks import check_tool_breaks
from turnwright.audit.tool_copies import check_copies
from turnwright.audit.tool_leaks import check_tool_leaks
from turnwright.audit.tool_schemas import check_names, check_schemas
from turnwright.core.errors import AlignmentError
from turnwright.core.finding import Finding
from turnwright.environments.load import load_environment

Findings = Sequence[Finding]
WRONG_ELSEWHERE = 3
"""Solutions that do not solve their task, to be played in other processes: what went before may be the reason."""
Stage = Callable[[Subject], Awaitable[Findings]]


async def run_stages(subject: Subject, told: Callable[[str], None]) -> list[Finding]:
    """Run every stage; an environment that hangs ends the audit."""
    findings: list[Finding] = []
    try:
        for name, stage in STAGES.items():
            told(name)
            findings += await _run(name, stage, subject)
            restore(subject.surroundings)
    except EnvironmentHangsError as error:
        cure = "give what it waits for a limit of its own, and answer with ToolError when that is over"
        findings.append(_broken("environment.hangs", "solutions and plays", str(error), cure))
    finally:
        if subject.elsewhere is not None:
            subject.elsewhere.cancel()
            await asyncio.gather(subject.elsewhere, return_exceptions=True)
    return findings


async def _run(name: str, stage: Stage, subject: Subject) -> Findings:
    try:
        return await stage(subject)
    except (AlignmentError, EnvironmentHangsError):
        raise
    except Exception as error:  # the boundary that attributes what a user's environment raises
        evidence = f"it raised {type(error).__name__}: {str(error)[:300]}"
        return [_broken("environment.breaks", name, evidence, "mend it, and check again")]


async def _solve(subject: Subject) -> Findings:
    await _play_solutions(subject)
    subject.settle_scorer()
    solutions, judge = subject.solutions, subject.judge
    # Where a scorer refuses every solution, what the reward accepts still shows how to answer.
    answered = subject.solved or [episode for episode in solutions.episodes if judge.by_reward(episode)]
    subject.truths = read_truths(answered) if answered else gold_truths(subject.tasks)
    return (
        # An environment may know tasks that nothing readable decides; it has a finding of its own for them.
        *check_solutions(solutions, judge, beyond=getattr(subject.prototype, "unreachable_tasks", frozenset[str]())),
        *check_turns(subject.prototype, solutions, judge, propose_turns(solutions, judge)),
        *check_answer_told(subject.by_rules, subject.truths),
        *check_knowable(subject.prototype, subject.by_rules),
        *check_cost(solutions.episodes),
        *check_twins(subject.solutions.episodes if solutions.kind == "rules" else ()),
    )


async def _play_solutions(subject: Subject) -> None:
    prototype, tasks, seed = subject.prototype, subject.tasks, subject.seed
    before = started_programs()
    some = [await play_solutions(prototype, [task], seed=seed) for task in tasks[:TRIED]]
    if not some:
        return
    fastest = min(one.seconds for one in some)
    subject.effort = choose_effort(starts_programs=started_programs() > before, seconds=fastest)
    rest = await play_solutions(prototype, tasks[TRIED : subject.effort.solutions], seed=seed)
    subject.solutions = functools.reduce(Solutions.followed_by, (*some, rest))


async def _grade(subject: Subject) -> Findings:
    prototype, judge, seed, truths = subject.prototype, subject.judge, subject.seed, subject.truths
    effort, solved = subject.effort, subject.solved
    subject.floors = await check_floors(prototype, subject.idle_tasks, solved, truths, judge, seed=seed)
    subject.attacks = await check_attacks(prototype, solved[: effort.attacked], truths, judge, seed=seed)
    return (
        *subject.floors.findings,
        *subject.attacks.findings,
        *await check_rewards(
            prototype,
            subject.intact,
            subject.floors.played,
            subject.attacks,
            judge,
            repeated=effort.repeated,
            seed=seed,
        ),
    )


async def _replay(subject: Subject) -> Findings:
    another = load_environment(subject.environment, subject.options)
    return (
        *await check_random(subject.fresh, another, subject.intact[: subject.effort.replayed], seed=subject.seed),
        *await check_replay(subject.prototype, subject.fresh, subject.replayed, seed=subject.seed),
        *await check_isolation(subject.prototype, subject.replayed, seed=subject.seed),
    )


async def _start_elsewhere(subject: Subject) -> Findings:
    """Let other processes play while this one goes on: the last first, which are those that went wrong here."""
    wrong = [episode for episode in subject.intact if not subject.judge.solved(episode)][:WRONG_ELSEWHERE]
    right = [episode for episode in subject.intact if subject.judge.solved(episode)]
    subject.elsewhere = asyncio.create_task(
        check_elsewhere(
            subject.environment,
            subject.options,
            [*right[: PLAYED_ELSEWHERE - len(wrong)], *wrong],
            seed=subject.seed,
            processes=subject.processes,
            allow_network=subject.allow_network,
        )
    )
    return ()


async def _join_elsewhere(subject: Subject) -> Findings:
    return await subject.elsewhere if subject.elsewhere is not None else ()


async def _watch(subject: Subject) -> Findings:
    watched = await watch_episodes(subject.prototype, subject.own, subject.replayed, seed=subject.seed)
    subject.uses = (*dict.fromkeys((*watched, *clock_uses(subject.own.files))),)
    return ()


async def _left(subject: Subject) -> Findings:
    return await check_leftovers(subject.prototype, subject.replayed, subject.surroundings, seed=subject.seed)


async def _prompts(subject: Subject) -> Findings:
    oracle = count_solved(subject.solutions, subject.judge)
    episodes = subject.known(subject.solutions.episodes)
    return check_prompt_leaks(subject.prototype, episodes, solved=oracle.solved / max(oracle.of, 1))


async def _tools(subject: Subject) -> Findings:
    prototype, seed = subject.prototype, subject.seed
    return (
        *check_names(prototype, subject.by_rules),
        *await check_schemas(prototype, subject.by_rules, seed=seed),
        *await check_constant(prototype, subject.intact, seed=seed),
        *await check_tool_breaks(prototype, subject.intact, seed=seed),
    )


async def _tool_leaks(subject: Subject) -> Findings:
    known = subject.known(subject.intact)
    return (
        *await check_tool_leaks(subject.prototype, known, seed=subject.seed),
        *check_copies(known),
        *await check_betrayals(subject.prototype, known, seed=subject.seed),
    )


STAGES: Mapping[str, Stage] = {
    "solutions": _solve,
    "other processes": _start_elsewhere,
    "plays without knowledge": _grade,
    "replay": _replay,
    "clock and randomness": _watch,
    "leftovers": _left,
    "prompts": _prompts,
    "tools": _tools,
    "leaks of tools": _tool_leaks,
    "replay in other processes": _join_elsewhere,
}


def _broken(code: str, stage: str, evidence: str, cure: str) -> Finding:
    return Finding(code=code, severity="error", where=f"stage {stage!r}", evidence=evidence, cure=cure)
