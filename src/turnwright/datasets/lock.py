"""The lock file of a split: which rows may never be trained on. JSON, without paths and times, so it can be compared.

A row is known by the hash of its normalised prompt: it stays a test row whatever becomes of its id, its case, its
spacing or its other columns.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from turnwright.core.errors import DatasetError
from turnwright.core.finding import Finding
from turnwright.core.task import Split, Task
from turnwright.datasets.rows import broken, hash_file
from turnwright.datasets.text import hash_prompt

LOCK_NAME = "split.lock.json"
FORMAT = 1
NAMED = 5
"""Refused rows that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedSplit:
    """One split."""

    file: str
    """Name of its file, beside the lock file."""
    count: int
    hash: str
    """SHA-256 of the file."""
    rows: tuple[str, ...]
    """``hash_prompt`` of its rows, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLock:
    """How a file was split.

    Example: ``SplitLock(seed=7, by=None, splits={"train": LockedSplit(...), "test": LockedSplit(...)})``
    """

    seed: int
    by: str | None
    """Column whose shares are alike in all splits."""
    splits: Mapping[Split, LockedSplit]

    def to_json(self) -> str:
        """Return the content of the lock file."""
        splits = {name: asdict(split) for name, split in self.splits.items()}
        return json.dumps({"format": FORMAT, "seed": self.seed, "by": self.by, "splits": splits}, indent=2) + "\n"


def read_lock(path: Path) -> SplitLock:
    """Read a lock file.

    Raises DatasetError when it is missing or was not written by ``write_split``.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}, expected {FORMAT}")
        unknown = set(document["splits"]) - set(get_args(Split))
        if unknown:
            raise ValueError(f"{min(unknown)!r} is no split")
        splits: dict[Split, LockedSplit] = {
            name: LockedSplit(file=part["file"], count=part["count"], hash=part["hash"], rows=tuple(part["rows"]))
            for name, part in document["splits"].items()
        }
        return SplitLock(seed=document["seed"], by=document["by"], splits=splits)
    except FileNotFoundError as error:
        raise DatasetError(f"there is no lock file {path.resolve()}: `turnwright data split` writes it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} is no lock file ({error}): restore it, or split again into a new folder") from error


def find_changes(path: Path) -> tuple[Finding, ...]:
    """Return an error if a file lies beside its lock file and is no longer what was locked."""
    beside = path.with_name(LOCK_NAME)
    if not beside.exists():
        return ()
    locked = next((split for split in read_lock(beside).splits.values() if split.file == path.name), None)
    if locked is None or hash_file(path) == locked.hash:
        return ()
    return (
        broken(
            "lock.changed", str(path), f"is not what {beside.name} locked", "restore it, or split into a new folder"
        ),
    )


def require_trainable(tasks: Iterable[Task], lock: SplitLock) -> None:
    """Make sure that no task to train on is a test row.

    Raises DatasetError that names the tasks.
    """
    tested = set(lock.splits["test"].rows) if "test" in lock.splits else set[str]()
    refused = [task.id for task in tasks if hash_prompt(task.prompt) in tested]
    if refused:
        named = ", ".join(map(repr, refused[:NAMED])) + (", ..." if len(refused) > NAMED else "")
        raise DatasetError(
            f"{len(refused)} of the training tasks are test rows of the split with seed {lock.seed}: {named}; train on "
            f"{lock.splits['train'].file if 'train' in lock.splits else 'other rows'}, which shares no row with them"
        )
