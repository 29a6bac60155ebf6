"""Tasks of a run, by hash: whether the data it goes on with is the data it began with.

    tasks --record_tasks--> tasks.jsonl, one {"split", "id", "hash"} per task, in the environment's own order
    resume --changed_tasks--> one sentence per split that differs

Texts are not copied: a data set may be under a licence, and large.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pydantic_core
from pydantic import TypeAdapter

from turnwright.core.errors import DatasetError
from turnwright.core.task import Split, Task
from turnwright.rundir.files import read_lines, write_atomic
from turnwright.rundir.layout import RunLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One task of a run."""

    split: Split
    id: str
    hash: str
    """SHA-256 over id, prompt and data."""


_RECORD = TypeAdapter(TaskRecord)


def hash_task(task: Task) -> str:
    """Return the SHA-256 of a task's id, prompt and data as JSON with sorted keys.

    Raises DatasetError when the data holds something that JSON cannot say.
    """
    try:
        return _sha256(_canonical({"id": task.id, "prompt": task.prompt, "data": task.data}))
    except pydantic_core.PydanticSerializationError as error:
        raise DatasetError(
            f"task {task.id!r} cannot be written: {error}; keep Task.data to JSON values (text, numbers, true, false, "
            "null, lists, objects with text keys)"
        ) from None


def hash_split(hashes: Iterable[str]) -> str:
    """Return the SHA-256 of a split: its tasks' hashes in order, because a run deals them by their places."""
    return _sha256("\n".join(hashes))


def record_tasks(layout: RunLayout, tasks: Mapping[Split, Sequence[Task]]) -> None:
    """Write the tasks of a new run."""
    records = [
        TaskRecord(split=split, id=task.id, hash=hash_task(task)) for split, some in tasks.items() for task in some
    ]
    write_atomic(layout.tasks, b"".join(_RECORD.dump_json(record) + b"\n" for record in records))


def changed_tasks(
    layout: RunLayout, hashes: Mapping[Split, str], tasks: Mapping[Split, Sequence[Task]]
) -> tuple[str, ...]:
    """Return one sentence per split whose tasks are not those that the run began with.

    Args:
        layout: Of the run.
        hashes: Of the splits, as the run's manifest has them; a split without one is not compared.
        tasks: As they are now.
    """
    now: dict[Split, dict[str, str]] = {
        split: {task.id: hash_task(task) for task in some} for split, some in tasks.items()
    }
    changed: list[Split] = [
        split for split in hashes if split in now and hash_split(now[split].values()) != hashes[split]
    ]
    if not changed:
        return ()
    before: dict[Split, dict[str, str]] = {split: {} for split in changed}
    for record in map(_RECORD.validate_json, read_lines(layout.tasks)):
        before.get(record.split, {})[record.id] = record.hash
    return tuple(_difference(split, before[split], now[split]) for split in changed)


def _difference(split: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    different = [id for id in {**before, **now} if before.get(id) != now.get(id)]
    if not different:
        return f"the {len(now):,} {split} tasks come in another order"
    first = different[0]
    what = "is gone" if first not in now else "is new" if first not in before else "says something else"
    return (
        f"{len(different):,} of {len({**before, **now}):,} {split} tasks differ, the first is {first!r}, which {what}"
    )


def _canonical(value: object) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in cast(Mapping[object, object], value).items()}
    if isinstance(value, set | frozenset):
        # Their order differs from process to process.
        return sorted(map(_canonical, cast(Iterable[object], value)))
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast(Iterable[object], value)]
    return pydantic_core.to_jsonable_python(value)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
