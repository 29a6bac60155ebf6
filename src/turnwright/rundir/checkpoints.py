"""Checkpoints of a run: sealed as they are saved, verified before they are trusted, kept or let go.

    save --seal: manifest.json with size and hash of every file--> step_000040/
    resume --newest_intact: the newest whose files are as they were saved--> go on from there
    after each --tend: ``promoted`` points at the one to deploy, and what schedule.keep_* does not keep is deleted

Only the process that writes a run calls ``seal``, ``promote``, ``tend`` and ``discard``.
"""

import hashlib
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from turnwright.core.checkpoint import Checkpoint, CheckpointManifest, FileRecord, ModelRecord
from turnwright.core.errors import RunDirectoryError
from turnwright.rundir.files import publish, sync, write_atomic
from turnwright.rundir.layout import RunLayout, step_of
from turnwright.rundir.manifest import installed_versions
from turnwright.rundir.reader import RunReader

MANIFEST = "manifest.json"
VALIDATED_BY = ("val/score/success", "val/reward/mean")
"""Metrics that rank checkpoints: the first one that a run has, so that the reward counts where no scorer does."""
BEST_KEPT = 1
"""Best validated checkpoints that stay where schedule.keep_best is unset."""
DELETED = ".deleted"
"""Ends the name of a folder that is being deleted."""

log = logging.getLogger(__name__)
_MANIFEST: TypeAdapter[CheckpointManifest] = TypeAdapter(CheckpointManifest)


def seal(folder: Path, *, step: int, model: ModelRecord | None = None) -> CheckpointManifest:
    """Write manifest.json into a folder that is complete: from here on ``verify`` notices every change of its files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    manifest = CheckpointManifest(
        step=step,
        model=model,
        files=tuple(
            FileRecord(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=hash_of(path))
            for path in paths
        ),
        versions=installed_versions(),
    )
    write_atomic(folder / MANIFEST, _MANIFEST.dump_json(manifest, indent=1) + b"\n")
    return manifest


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> CheckpointManifest | None:
    """Return what a checkpoint's folder says of itself; None where it says nothing.

    Raises RunDirectoryError when what it says cannot be read.
    """
    file = folder / MANIFEST
    try:
        return _MANIFEST.validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise RunDirectoryError(f"'{file}' cannot be read: {reason}; {_cure(folder)}") from error


def verify(folder: Path, *, hashes: bool = True) -> tuple[str, ...]:
    """Return what is wrong with a checkpoint, one sentence per file with its cure; nothing for one that can be trusted.

    Args:
        folder: The checkpoint.
        hashes: Read every file and compare its content; otherwise only whether it is there in its size.
    """
    try:
        manifest = read_manifest(folder)
    except RunDirectoryError as error:
        return (str(error),)
    if manifest is None:
        return (f"'{folder / MANIFEST}' is missing, so that nothing says what the checkpoint holds; {_cure(folder)}",)
    found = [_problem(folder / record.path, record, hashes=hashes) for record in manifest.files]
    if step_of(folder) not in (None, manifest.step):
        found.insert(0, f"'{folder / MANIFEST}' is that of step {manifest.step}")
    return tuple(f"{problem}; {_cure(folder)}" for problem in found if problem)


def newest_intact(layout: RunLayout) -> Checkpoint | None:
    """Return the newest checkpoint that can be resumed, every file as it was saved; None where there is none.

    Each one that is passed over is named in a warning.
    """
    for checkpoint in reversed(RunReader(layout.root).checkpoints()):
        problems = verify(checkpoint.path)
        if not problems and checkpoint.resume is not None:
            return checkpoint
        reason = "\n".join(problems) or "it has no folder resume/, so that it can only be deployed"
        log.warning("checkpoint '%s' is passed over: %s", checkpoint.path, reason)
    return None


def promoted(layout: RunLayout) -> Path | None:
    """Return the checkpoint to deploy, as ``checkpoints/promoted`` says; None where it names none."""
    try:
        target = layout.promoted.parent / layout.promoted.readlink()
    except OSError:
        return None
    return target if target.is_dir() else None


def promote(layout: RunLayout, metrics: Sequence[Mapping[str, float]]) -> Path | None:
    """Point ``checkpoints/promoted`` at the best validated checkpoint, the newest one without validation.

    Call it when a run stops or fails; ``tend`` does so after each checkpoint. One with missing or cut-off files is not
    taken; where none is left, the pointer goes.

    Args:
        layout: Of the run.
        metrics: As ``RunReader.metrics`` returns them.
    """
    return _point(layout, _whole(layout), metrics)


def tend(
    layout: RunLayout, metrics: Sequence[Mapping[str, float]], *, keep_last: int | None, keep_best: int | None
) -> tuple[Path, ...]:
    """Promote a checkpoint, then delete those that need not stay; return the deleted ones.

    Call it after a checkpoint has got its name. The newest whole one stays in any case, and so do those with missing
    or cut-off files, for somebody to look at.

    Args:
        layout: Of the run.
        metrics: As ``RunReader.metrics`` returns them.
        keep_last: Newest ones that stay; None = all.
        keep_best: Best validated ones that stay besides; None = one.
    """
    whole = _whole(layout)
    if keep_last is None:
        _point(layout, whole, metrics)
        return ()
    best = ranked(whole, metrics)[: BEST_KEPT if keep_best is None else keep_best]
    kept = [checkpoint for checkpoint in whole if checkpoint in whole[-keep_last:] or checkpoint in best]
    # Before anything goes: a crash in between must not leave a pointer at nothing.
    _point(layout, kept, metrics)
    gone = tuple(checkpoint.path for checkpoint in whole if checkpoint not in kept)
    for path in (*leftovers(layout), *gone):
        discard(path)
    return gone


def ranked(checkpoints: Sequence[Checkpoint], metrics: Sequence[Mapping[str, float]]) -> list[Checkpoint]:
    """Return the checkpoints that were validated, the best first; of equals the newer one."""
    scores = validations(metrics)
    validated = [checkpoint for checkpoint in checkpoints if checkpoint.step in scores]
    return sorted(validated, key=lambda checkpoint: (scores[checkpoint.step], checkpoint.step), reverse=True)


def validations(metrics: Sequence[Mapping[str, float]]) -> dict[int, float]:
    """Return by step what validation says: the independent score where a run has one, otherwise the mean reward."""
    for name in VALIDATED_BY:
        found = {int(record["step"]): record[name] for record in metrics if not math.isnan(record.get(name, math.nan))}
        if found:
            return found
    return {}


def discard(path: Path) -> None:
    """Delete a folder so that a crash leaves either all of it or nothing under its name."""
    dying = path if path.name.endswith(DELETED) else path.with_name(f".{path.name}{DELETED}")
    if path != dying:
        publish(path, dying)
    shutil.rmtree(dying)


def leftovers(layout: RunLayout) -> tuple[Path, ...]:
    """Return folders whose deletion was cut off."""
    return tuple(sorted(layout.checkpoints.glob(f".*{DELETED}")))


def _whole(layout: RunLayout) -> list[Checkpoint]:
    """Return the checkpoints whose files are there in their sizes, oldest first."""
    return [found for found in RunReader(layout.root).checkpoints() if not verify(found.path, hashes=False)]


def _point(layout: RunLayout, checkpoints: Sequence[Checkpoint], metrics: Sequence[Mapping[str, float]]) -> Path | None:
    if not checkpoints:
        layout.promoted.unlink(missing_ok=True)
        return None
    chosen = next(iter(ranked(checkpoints, metrics)), checkpoints[-1])
    if promoted(layout) == chosen.path:
        # A run that fails because the disk is full can still say which one it is.
        return chosen.path
    temporary = layout.promoted.with_name(f".{layout.promoted.name}.tmp")
    temporary.unlink(missing_ok=True)
    # Relative: it holds wherever the run is moved.
    temporary.symlink_to(chosen.path.name)
    temporary.replace(layout.promoted)
    sync(layout.checkpoints)
    return chosen.path


def _problem(path: Path, record: FileRecord, *, hashes: bool) -> str:
    try:
        size = path.stat().st_size
        if size != record.size:
            return f"'{path}' has {size:,} bytes, expected {record.size:,}"
        if hashes and (actual := hash_of(path)) != record.sha256:
            return f"'{path}' has another content than was saved (SHA-256 {actual[:12]}, expected {record.sha256[:12]})"
    except FileNotFoundError:
        return f"'{path}' is missing"
    except OSError as error:
        return f"'{path}' cannot be read: {error}"
    return ""


def _cure(folder: Path) -> str:
    return f"copy '{folder.name}' back from where it is whole, or use another checkpoint"
