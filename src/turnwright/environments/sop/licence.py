"""Licence of benchmark rows: which texts hold for a folder, and under which split its test rows may be trained on.

SOP-Bench has test rows only, under CC BY-NC 4.0, and some domains add conditions of their own. So they are for
evaluation unless somebody acknowledges the licence *and* names a lock file that keeps the rows to evaluate on out of
training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from turnwright.core.errors import DatasetError
from turnwright.core.task import Split, Task
from turnwright.datasets.lock import LOCK_NAME, LockedSplit, SplitLock, read_lock
from turnwright.datasets.split import split_tasks
from turnwright.datasets.text import hash_prompt
from turnwright.environments.sop.folder import SPLIT_FILES, SopFolder
from turnwright.environments.sop.lookups import Row
from turnwright.environments.sop.reading import read_text

NAMES = ("licen", "copying", "notice")
"""Beginnings of the names that licence texts have, in small letters."""
DEEPEST = 6
"""Folders between a domain and the root of its checkout, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """One licence text."""

    file: str
    title: str
    """Its first line."""
    hash: str
    """SHA-256 of the file."""
    non_commercial: bool
    speaks_of_training: bool
    """It has the word "train": read it before training on the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRows:
    """The test rows of a folder, divided by a lock file."""

    lock: SplitLock
    file: Path
    columns: tuple[str, ...]
    """Columns that tell one row from another."""

    def split_of(self, row: Row) -> Split | None:
        """Return the split a row is in; None for a row that came later."""
        mark = hash_prompt(row_text(row, self.columns))
        return next((name for name, split in self.lock.splits.items() if mark in split.rows), None)


def find_licences(folder: SopFolder) -> tuple[Licence, ...]:
    """Return the licence texts in the folder and in the nearest folder above it that has one."""
    if folder.path is None:
        return ()
    path = folder.path.resolve()
    own = _licences_in(path)
    above = next((found for parent in path.parents[:DEEPEST] if (found := _licences_in(parent))), ())
    return (*own, *above)


def row_text(row: Row, columns: tuple[str, ...]) -> str:
    """Return a row as the agent reads it, whatever the mode: what a lock file knows it by."""
    return "\n".join(f"{name}: {row[name]}" for name in columns)


def split_folder(folder: SopFolder, out: Path, *, seed: int, validation: float, test: float) -> SplitLock:
    """Divide the test rows, labels alike in all splits, and write the lock file alone: no row is copied.

    Raises DatasetError when the shares make no sense or ``out`` has the lock file of another split.
    """
    labels = folder.label_cells()
    tasks = [
        Task(
            id=str(index),
            prompt=row_text(row, folder.input_columns),
            data={"gold": {name: cell.read(row) for name, cell in labels.items()}},
            split="test",
        )
        for index, row in folder.task_rows("test")
    ]
    splits = split_tasks(tasks, seed=seed, validation=validation, test=test, by="gold")
    file_hash = _table_hash(folder)
    locked: Mapping[Split, LockedSplit] = {
        name: LockedSplit(
            file=SPLIT_FILES["test"],
            count=len(some),
            hash=file_hash,
            rows=tuple(sorted({hash_prompt(task.prompt) for task in some})),
        )
        for name, some in splits.items()
    }
    lock = SplitLock(seed=seed, by="gold", splits=locked)
    path = out / LOCK_NAME
    if path.exists() and path.read_text(encoding="utf-8") != lock.to_json():
        raise DatasetError(f"{path} locks another split: choose a new folder, so that its test rows stay test rows")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(lock.to_json(), encoding="utf-8")
    return lock


def read_split_rows(folder: SopFolder, file: Path) -> SplitRows:
    """Read a lock file of ``split_folder``.

    Raises DatasetError when it is none, splits overlap, or the table has changed since.
    """
    lock = read_lock(file)
    found = _table_hash(folder)
    changed = [name for name, split in lock.splits.items() if split.hash != found]
    if changed:
        raise DatasetError(
            f"{file} was made for another {SPLIT_FILES['test']} than the one of SOP folder {folder.name!r}: split this "
            f"one with `turnwright data split sop:{folder.path} --out FOLDER`"
        )
    marks = [mark for split in lock.splits.values() for mark in split.rows]
    if len(set(marks)) != len(marks):
        raise DatasetError(f"{file} has a row in two splits: restore it, or split again into a new folder")
    return SplitRows(lock=lock, file=file, columns=folder.input_columns)


def refuse_training(folder: SopFolder, split: Split, *, acknowledged: bool) -> DatasetError:
    """Return the error that says why a split cannot be had, and what would give it."""
    texts = "; ".join(f"{one.title} ({one.file})" for one in find_licences(folder)) or "no licence text was found"
    place = f"sop:{folder.path or 'FOLDER'}"
    cure = (
        f"divide them with `turnwright data split {place} --out FOLDER` and set split_lock = 'FOLDER/{LOCK_NAME}'"
        if acknowledged
        else f"train on your own folder with a train.csv (see returns_desk) and evaluate on this one; or read the "
        f"licence ({texts}), set the options acknowledge_licence = true and split_lock, whose file "
        f"`turnwright data split {place} --out FOLDER` writes"
    )
    return DatasetError(
        f"SOP folder {folder.name!r} has no {split!r} tasks to use, only: {', '.join(folder.rows)}. SOP-Bench rows are "
        f"all test rows under CC BY-NC 4.0 and are not trained on: {cure}"
    )


def _licences_in(path: Path) -> tuple[Licence, ...]:
    files = sorted(file for file in path.glob("*") if file.name.lower().startswith(NAMES) and file.is_file())
    return tuple(_licence(file) for file in files)


def _licence(file: Path) -> Licence:
    text = read_text(file)
    title = next((line.strip(" #*=\t") for line in text.splitlines() if line.strip(" #*=\t")), "")
    words = text.casefold()
    return Licence(
        file=str(file),
        title=title[:120],
        hash=sha256(file.read_bytes()).hexdigest(),
        non_commercial=any(name in words for name in ("noncommercial", "non-commercial", "by-nc")),
        speaks_of_training="train" in words,
    )


def _table_hash(folder: SopFolder) -> str:
    if folder.path is None:
        raise DatasetError(f"SOP folder {folder.name!r} is generated: its own splits are what it is trained on")
    return sha256((folder.path / SPLIT_FILES["test"]).read_bytes()).hexdigest()
