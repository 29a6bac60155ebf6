"""Tasks and their splits: present, the same every time, and nothing shared between splits."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import get_args

from turnwright.audit.listing import shorten_list
from turnwright.core.errors import DatasetError
from turnwright.core.finding import Finding
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment

SPLITS: tuple[Split, ...] = get_args(Split)

TasksBySplit = Mapping[Split, Sequence[Task]]


def read_splits(environment: Environment) -> TasksBySplit:
    """Return the tasks of every split; an environment says with DatasetError that it has no such split."""
    found: dict[Split, Sequence[Task]] = {}
    for split in SPLITS:
        try:
            found[split] = tuple(environment.tasks(split))
        except DatasetError:
            found[split] = ()
    return found


def check_splits(first: TasksBySplit, second: TasksBySplit) -> tuple[Finding, ...]:
    """Check the tasks that two prototypes, built alike, give."""
    if not any(first.values()):
        return (
            Finding(
                code="tasks.none",
                severity="error",
                where="tasks",
                evidence="no split has a task",
                cure="return at least one Task from tasks('train')",
            ),
        )
    return (
        *shorten_list(list(_unstable(first, second))),
        *shorten_list(list(_repeated(first))),
        *shorten_list(list(_shared(first))),
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
