"""All runs of a folder, and what of a run can be thrown away."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from turnwright.core.errors import ConfigError, RunDirectoryError
from turnwright.rundir.checkpoints import discard, leftovers, promoted
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.lock import WriterLock
from turnwright.rundir.reader import RunReader
from turnwright.rundir.records import ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run, as a list shows it."""

    name: str
    path: Path
    created: str
    state: str
    """The phase; "interrupted" when the run neither ended nor has a process."""
    step: int
    num_checkpoints: int
    size_bytes: int


def list_runs(output_dir: Path) -> tuple[RunSummary, ...]:
    """Return the runs of a folder, oldest first; folders that are no runs are left out."""
    folders = (path.parent for path in output_dir.glob("*/manifest.json"))
    return tuple(sorted((summarise(folder) for folder in folders), key=lambda run: (run.created, run.name)))


def find_run(name: str, output_dir: Path) -> Path:
    """Return the run directory that a name or path stands for.

    Raises:
        RunDirectoryError: Neither is a run; the message names similar ones.
    """
    for candidate in (Path(name), output_dir / name):
        if RunLayout(candidate).manifest.is_file():
            return candidate
    known = [path.parent.name for path in output_dir.glob("*/manifest.json")]
    similar = get_close_matches(name, known, n=2)
    hint = f"did you mean {' or '.join(similar)}?" if similar else "`turnwright runs list` shows what there is"
    raise RunDirectoryError(f"no run {name!r} here or in '{output_dir}': {hint}")


def summarise(root: Path) -> RunSummary:
    """Return the summary of one run directory."""
    reader = RunReader(root)
    manifest, status = reader.manifest(), reader.status()
    state = status.phase if status else "starting"
    if state not in ENDED and not reader.is_running():
        state = "interrupted"
    return RunSummary(
        name=root.name,
        path=root,
        created=manifest.created,
        state=state,
        step=status.step if status else 0,
        num_checkpoints=len(reader.checkpoints()),
        size_bytes=size_of(root),
    )


def prunable(root: Path, *, keep: int = 1) -> tuple[Path, ...]:
    """Return what can go without losing a record: superseded files, and checkpoints.

    The newest ``keep`` of them stay, and so does the promoted one.
    """
    if keep < 1:
        raise ConfigError(f"keep = {keep}: expected at least 1 checkpoint to stay; delete the run's folder to free all")
    reader = RunReader(root)
    layout = reader.layout
    old = [found.path for found in reader.checkpoints()[:-keep] if found.path != promoted(layout)]
    superseded = (layout.superseded,) if layout.superseded.exists() else ()
    return (*old, *leftovers(layout), *superseded)


def prune(root: Path, paths: Sequence[Path]) -> int:
    """Delete folders of a run that nobody writes; returns the freed bytes."""
    with WriterLock(RunLayout(root).lock):
        outside = [path for path in paths if not path.resolve().is_relative_to(root.resolve())]
        if outside:
            raise RunDirectoryError(f"'{outside[0]}' is not inside the run directory '{root}': nothing was deleted")
        freed = sum(size_of(path) for path in paths)
        for path in paths:
            discard(path)
    return freed


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; a file that vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
