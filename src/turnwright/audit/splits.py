"""Tasks and their splits: present, the same every time, and nothing shared between splits."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import get_args

from turnwright.audit.listing import shorten_list
from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError
from turnwright.core.finding import Finding
from turnwright.core.task import Split, Task
from turnwright.datasets.text import normalise, words
from turnwright.environments.base import Environment

SPLITS: tuple[Split, ...] = get_args(Split)

MOST_TASKS = 200_000
"""Tasks of a split that are read: a generator without an end is no split."""
MOSTLY = 0.9
"""Share of prompts that must differ within a split before an equal one elsewhere says anything."""

FEWEST_TASKS = 5
"""Tasks of a split from which equal prompts are no chance."""
MOST_COMPARED = 300
LONG_PROMPT = 12
"""Words from which a prompt says something of its own."""
RESEMBLING = 0.5
REWORDED = 0.75
"""Shares of words in common from which prompts of one split, and of two, count as alike."""
FEWEST_SEEN = 4
"""Words of what tools answer from which two tasks with other data do not agree by chance."""
OFTEN = 0.2
"""Share of prompts that occur again."""
ALIKE = 0.7
"""Share of words that the prompts of the same task have in common, however it is worded."""

TasksBySplit = Mapping[Split, Sequence[Task]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The tasks of an environment, and what kept them from being read."""

    tasks: TasksBySplit
    findings: tuple[Finding, ...]


def read_splits(environment: Environment) -> Splits:
    """Return the tasks of every split; an environment says with DatasetError that it has no such split."""
    found: dict[Split, Sequence[Task]] = {}
    findings: list[Finding] = []
    for split in SPLITS:
        found[split] = ()
        try:
            tasks = tuple(islice(environment.tasks(split), MOST_TASKS + 1))
        except DatasetError:
            continue
        except Exception as error:  # the boundary that attributes what a user's environment raises
            findings.append(_unreadable(split, f"raised {type(error).__name__}: {error}", "mend it"))
            continue
        strange = next((task for task in tasks if not isinstance(task, Task)), None)
        if len(tasks) > MOST_TASKS:
            findings.append(_unreadable(split, f"gives more than {MOST_TASKS:,} tasks", "return a list with an end"))
        elif strange is not None:
            findings.append(_unreadable(split, f"gives {str(strange)[:80]!r}, which is no Task", "return Task objects"))
        else:
            found[split] = tasks
        if not tasks:
            findings.append(
                Finding(
                    code="split.empty",
                    severity="warning",
                    where=f"tasks('{split}')",
                    evidence="it gives no task",
                    cure="return tasks, or raise DatasetError where there shall be no such split",
                )
            )
    return Splits(tasks=found, findings=tuple(findings))


def check_splits(one: Splits, other: Splits) -> tuple[Finding, ...]:
    """Check the tasks that two prototypes, built alike, give."""
    first, second = one.tasks, other.tasks
    if not any(first.values()):
        return (
            *one.findings,
            Finding(
                code="tasks.none",
                severity="error",
                where="tasks",
                evidence="no split has a task",
                cure="return at least one Task from tasks('train')",
            ),
        )
    return (
        *one.findings,
        *shorten_list(list(_unstable(first, second))),
        *shorten_list(list(_repeated(first))),
        *shorten_list(list(_shared(first))),
        *_alike(first),
    )


def _unstable(first: TasksBySplit, second: TasksBySplit) -> Iterator[Finding]:
    for split in SPLITS:
        if first[split] == second[split]:
            continue
        pairs = zip(first[split], second[split], strict=False)
        where = next((one.id for one, other in pairs if one != other), split)
        yield Finding(
            code="replay.diff",
            severity="error",
            where=where,
            evidence=f"tasks('{split}') of two environments built alike are not equal",
            cure="draw tasks from a seed in the environment's options, never from the clock or a global generator",
        )


def _repeated(tasks: TasksBySplit) -> Iterator[Finding]:
    for split, some in tasks.items():
        seen: set[str] = set()
        for task in some:
            if task.id in seen:
                yield Finding(
                    code="tasks.repeated_id",
                    severity="error",
                    where=task.id,
                    evidence=f"two tasks of split {split!r} have the id {task.id!r}",
                    cure="give every task an id of its own: groups, seeds and records go by it",
                )
            seen.add(task.id)


def _shared(tasks: TasksBySplit) -> Iterator[Finding]:
    for one, other in combinations(SPLITS, 2):
        ids = {task.id for task in tasks[one]} & {task.id for task in tasks[other]}
        clusters = {task.cluster for task in tasks[one]} & {task.cluster for task in tasks[other]} - {None}
        for kind, shared in (("task id", ids), ("cluster", clusters)):
            if shared:
                yield Finding(
                    code="split.overlap",
                    severity="error",
                    where=f"{one}, {other}",
                    evidence=f"both have {kind}s in common: {len(shared)}, such as {min(map(str, shared))!r}",
                    cure="split by cluster before anything else: what is trained on must not be evaluated on",
                )


def _alike(tasks: TasksBySplit) -> Iterator[Finding]:
    """Find tasks that ask the same, in the same world, in two splits."""
    present: list[Split] = [split for split in SPLITS if tasks[split]]
    for one, other in combinations(present, 2):
        first, second = ({normalise(task.prompt): task for task in tasks[split]} for split in (one, other))
        if (
            min(len(first), len(second)) < FEWEST_TASKS
            or len(first) < MOSTLY * len(tasks[one])
            or len(second) < MOSTLY * len(tasks[other])
        ):
            continue
        pairs = [(first[key], task) for key, task in second.items() if key in first]
        yield from _reworded(one, other, [*first.values()], [*second.values()])
        yield from overlap(one, other, [(a, b) for a, b in pairs if _same_row(a, b) and a.cluster == b.cluster])


def _reworded(one: str, other: str, first: Sequence[Task], second: Sequence[Task]) -> Iterator[Finding]:
    """Report long prompts that occur again with a few other words, unless prompts of one split resemble each other.

    Prompts that all follow one template resemble each other everywhere, and say nothing.
    """
    here, there = ([(set(words(task.prompt)), task) for task in some[:MOST_COMPARED]] for some in (first, second))
    there = [(some, task) for some, task in there if len(some) >= LONG_PROMPT]
    among = [sum(_in_common(some, another) >= RESEMBLING for another, _ in there) > 1 for some, _ in there]
    if len(there) < FEWEST_TASKS or any(among):
        return
    pairs = [(twin, task) for some, task in there for another, twin in here if _in_common(some, another) >= REWORDED]
    again = {task.id: (twin, task) for twin, task in pairs}
    if len(again) > OFTEN * len(there):
        twin, task = next(iter(again.values()))
        yield Finding(
            code="split.overlap",
            severity="error",
            where=f"{one}, {other}",
            evidence=f"{len(again)} of {len(there)} prompts of {other} occur in {one} with a few other words, such as "
            f"those of {twin.id!r} and {task.id!r}: {task.prompt[:160]!r}",
            cure="remove near-duplicates before splitting: what is trained on must not be evaluated on",
        )


def _in_common(words_here: set[str], words_there: set[str]) -> float:
    return len(words_here & words_there) / len(words_here | words_there)


def overlap(one: str, other: str, pairs: Sequence[tuple[Task, Task]]) -> Iterator[Finding]:
    """Report pairs of tasks that are the same but for their ids."""
    twins = [(task, twin) for task, twin in pairs if task.id != twin.id]
    if twins:
        yield Finding(
            code="split.overlap",
            severity="error",
            where=f"{one}, {other}",
            evidence=f"{len(twins)} tasks are the same in both, such as {twins[0][0].id!r} and {twins[0][1].id!r}",
            cure="remove duplicates before splitting: what is trained on must not be evaluated on",
        )


def check_twins(episodes: Sequence[Episode]) -> tuple[Finding, ...]:
    """Find tasks of two splits whose solutions saw the same and did the same, but for the wording of the prompt."""
    lived: dict[str, dict[str, Episode]] = {}
    again = 0
    for episode in episodes:
        if any(turn.responses for turn in episode.turns):
            twin = lived.setdefault(_life(episode), {}).setdefault(episode.task.split, episode)
            again += twin is not episode and not _same_row(twin.task, episode.task)
    # In a small world, other tasks of the same split go the same way as well.
    small = again > OFTEN * len(episodes)

    def same(one: Episode, other: Episode) -> bool:
        telling = not small and len(words(_seen(one))) >= FEWEST_SEEN
        return telling or _same_row(one.task, other.task)

    found: dict[tuple[str, str], list[tuple[Task, Task]]] = {}
    for by_split in lived.values():
        for (one, first), (other, second) in combinations(sorted(by_split.items()), 2):
            if _prompts_alike(first.task, second.task) and same(first, second):
                found.setdefault((one, other), []).append((first.task, second.task))
    return tuple(finding for (one, other), pairs in found.items() for finding in overlap(one, other, pairs))


def _seen(episode: Episode) -> str:
    return " ".join(response.content for turn in episode.turns for response in turn.responses)


def _life(episode: Episode) -> str:
    """Return all that was said and done in an episode after its opening."""
    said = [
        [
            turn.reply.content,
            *((c.name, c.arguments) for c in turn.reply.tool_calls),
            *(r.content for r in turn.responses),
        ]
        for turn in episode.turns
    ]
    return json.dumps(said)


def _prompts_alike(task: Task, twin: Task) -> bool:
    one, other = set(words(task.prompt)), set(words(twin.prompt))
    return len(one & other) >= ALIKE * len(one | other)


def _same_row(task: Task, twin: Task) -> bool:
    return json.dumps(dict(task.data), sort_keys=True, default=str) == json.dumps(
        dict(twin.data), sort_keys=True, default=str
    )


def _unreadable(split: Split, problem: str, cure: str) -> Finding:
    return Finding(
        code="tasks.unreadable",
        severity="error",
        where=f"tasks('{split}')",
        evidence=f"it {problem}",
        cure=f"{cure}; raise DatasetError where there is no such split",
    )
