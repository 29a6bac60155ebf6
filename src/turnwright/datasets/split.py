"""Split tasks into train, validation and test: by seed, by cluster, and alike in a column.

    tasks --units--> rows that must stay together --ranked by seed, strata one after the other--> splits --> files, lock

Rows with a cluster, or a normalised prompt, in common form one unit and never part. Nothing but the seed and the
content of the rows decides, so that neither their order nor the machine matters.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from turnwright.core.errors import DatasetError
from turnwright.core.seeding import derive_key
from turnwright.core.task import Split, Task
from turnwright.datasets.lock import LOCK_NAME, LockedSplit, SplitLock
from turnwright.datasets.text import hash_prompt

Splits = Mapping[Split, Sequence[Task]]


def split_tasks(
    tasks: Sequence[Task], *, seed: int, validation: float, test: float, by: str | None = None
) -> Mapping[Split, tuple[Task, ...]]:
    """Divide tasks into splits; within each they keep their order.

    Units are taken in the order of their strata, at random within one; each goes to the split that lacks most rows
    for its share of those taken so far. So every stratum, and the whole, is off its shares by a unit or two.

    Args:
        tasks: Rows of one file; each has an id of its own.
        seed: Chooses among the possible splits.
        validation: Share of the rows; 0 = no such split. Training gets what remains.
        test: Share of the rows; 0 = no such split.
        by: Column of ``Task.data`` whose values have the same shares in all splits.

    Raises:
        DatasetError: The shares make no sense, a row lacks the column, or a split would be empty.
    """
    shares = _shares(validation, test)
    units = _units(tasks, by)
    counts: Counter[Split] = Counter()
    chosen: dict[str, Split] = {}
    taken = 0
    for unit in sorted(units, key=lambda unit: (unit.stratum, derive_key(seed, "split", unit.key), unit.key)):
        taken += len(unit.tasks)
        split = max(shares, key=lambda name: shares[name] * taken - counts[name])
        counts[split] += len(unit.tasks)
        chosen |= dict.fromkeys((task.id for task in unit.tasks), split)
    empty = [name for name in shares if not counts[name]]
    if empty:
        raise DatasetError(
            f"{len(tasks)} rows in {len(units)} units that must stay together (same cluster or same prompt) leave "
            f"{' and '.join(empty)} without a row: choose larger shares, finer clusters, or add rows"
        )
    return {name: tuple(_moved(task, name) for task in tasks if chosen[task.id] == name) for name in shares}


def write_split(splits: Splits, folder: Path, *, seed: int, by: str | None = None) -> SplitLock:
    """Write ``<split>.jsonl`` for each split and, last, the lock file.

    Raises DatasetError when the folder has the lock file of another split, whose test rows may have been used, or
    has files of these names without a lock file.
    """
    contents: dict[Split, bytes] = {name: _jsonl(tasks) for name, tasks in splits.items()}
    locked: dict[Split, LockedSplit] = {
        name: LockedSplit(
            file=f"{name}.jsonl",
            count=len(splits[name]),
            hash=sha256(content).hexdigest(),
            rows=tuple(sorted(hash_prompt(task.prompt) for task in splits[name])),
        )
        for name, content in contents.items()
    }
    lock = SplitLock(seed=seed, by=by, splits=locked)
    path = folder / LOCK_NAME
    _require_free(folder, path, lock)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / locked[name].file).write_bytes(content)
    path.write_text(lock.to_json(), encoding="utf-8")
    return lock


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    key: str
    """Least hash of its rows: the same in any order."""
    stratum: str
    tasks: tuple[Task, ...]


def _shares(validation: float, test: float) -> dict[Split, float]:
    given: dict[Split, float] = {"validation": validation, "test": test}
    for name, share in given.items():
        if not 0 <= share < 1:
            raise DatasetError(f"{name} = {share}: expected a share of the rows, at least 0 and below 1, such as 0.1")
    if not 0 < validation + test < 1:
        raise DatasetError(f"validation + test = {validation + test:g}: expected more than 0 and less than 1")
    shares: dict[Split, float] = {"train": 1 - validation - test, **given}
    return {name: share for name, share in shares.items() if share}


def _units(tasks: Sequence[Task], by: str | None) -> list[_Unit]:
    if by is not None:
        lacking = [task.id for task in tasks if by not in task.data]
        if lacking:
            raise DatasetError(
                f"{len(lacking)} of {len(tasks)} rows have no column {by!r}, first {lacking[0]!r}: fill it"
            )
    groups: dict[str, list[Task]] = {}
    together = _Together()
    hashes = {task.id: hash_prompt(task.prompt) for task in tasks}
    for task in tasks:
        if task.cluster is not None:
            together.join(hashes[task.id], f"cluster {task.cluster}")
    for task in tasks:
        groups.setdefault(together.root(hashes[task.id]), []).append(task)
    return [
        _Unit(
            key=min(hashes[task.id] for task in group),
            stratum="" if by is None else _most_common(_label(task.data[by]) for task in group),
            tasks=tuple(group),
        )
        for group in groups.values()
    ]


class _Together:
    """Which marks belong together: a union-find forest."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, mark: str) -> str:
        while (parent := self._parents.setdefault(mark, mark)) != mark:
            self._parents[mark] = mark = self._parents[parent]
        return mark

    def join(self, one: str, other: str) -> None:
        self._parents[self.root(one)] = self.root(other)


def _require_free(folder: Path, path: Path, lock: SplitLock) -> None:
    if path.exists():
        if path.read_text(encoding="utf-8") != lock.to_json():
            raise DatasetError(f"{path} locks another split: choose a new folder, so that its test rows stay test rows")
        return
    there = [split.file for split in lock.splits.values() if (folder / split.file).exists()]
    if there:
        raise DatasetError(f"{folder} has {', '.join(there)} already: choose a new folder, nothing is overwritten")


def _label(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _most_common(labels: Iterable[str]) -> str:
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


def _moved(task: Task, split: Split) -> Task:
    return Task(id=task.id, prompt=task.prompt, data=task.data, split=split, cluster=task.cluster)


def _jsonl(tasks: Iterable[Task]) -> bytes:
    return b"".join(json.dumps(_columns(task), ensure_ascii=False).encode() + b"\n" for task in tasks)


def _columns(task: Task) -> dict[str, Any]:
    cluster = {} if task.cluster is None else {"cluster": task.cluster}
    return {"id": task.id, "prompt": task.prompt, **cluster, **task.data}
