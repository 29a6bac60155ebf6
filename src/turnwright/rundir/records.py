"""Small files of a run directory as typed records, and the codec between nouns and JSON lines."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import pydantic_core
from pydantic import TypeAdapter

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError
from turnwright.core.finding import Finding
from turnwright.core.trajectory import Trajectory

Phase = Literal["starting", "rollout", "update", "validation", "checkpoint", "finished", "failed", "stopped"]
ENDED: tuple[Phase, ...] = ("finished", "failed", "stopped")
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedLicence:
    """A licence text over rows that a run trains on."""

    domain: str
    """Of the rows."""
    title: str
    file: str
    hash: str
    """SHA-256 of the text."""
    acknowledged_by: str
    """Where the acknowledgement was set: the name of the file, "override" or "argument"."""
    split_lock: str = ""
    """File that keeps the rows to evaluate on apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Identity of a run: what it would take to do it again."""

    name: str
    created: str
    """ISO 8601, UTC."""
    seed: int
    host: str
    command: tuple[str, ...] = ()
    git_sha: str | None = None
    """Commit of the folder the run was started in."""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Python, and each library that shapes the numbers, where installed."""
    parent: str | None = None
    """Path of the checkpoint or run this one starts from."""
    licences: tuple[TrainedLicence, ...] = ()
    """Of rows that may not be trained on without acknowledging them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a run is doing."""

    phase: Phase
    step: int
    heartbeat: float
    """Seconds since the epoch when this was written."""
    pid: int
    launch: int
    """Number of the process that writes, from 1; a resumed run counts on."""
    message: str = ""
    """For a run that failed or was stopped: why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGroup:
    """One group of a step, as it was dealt."""

    task: str
    domain: str
    """Empty outside a mixture."""
    epoch: int
    """Pass over its domain's tasks, from 0."""
    round: int = 0
    """Round of filling that dealt it, from 1; 0 = the step had it from the start."""
    replaced: bool = False
    """It carried no signal and left the step for another; its attempts are on disk and were not trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """What a step of a mixture, or of a run that fills its batches, is made of.

    The groups that are trained come first, in their order.
    """

    step: int
    groups: tuple[BatchGroup, ...]


_MANIFEST = TypeAdapter(Manifest)
_STATUS = TypeAdapter(Status)
_FINDING = TypeAdapter(Finding)
_BATCH = TypeAdapter(BatchRecord)
_EPISODE = TypeAdapter(Episode)
_TRAJECTORY = TypeAdapter(Trajectory)


def encode(record: Manifest | Status | Finding | BatchRecord | Episode | Trajectory) -> bytes:
    """Return a record as one line of JSON. Floats keep every bit.

    Raises:
        DatasetError: A task, tool or metadata holds something that JSON cannot say.
    """
    try:
        return pydantic_core.to_json(record, inf_nan_mode="constants")
    except pydantic_core.PydanticSerializationError as error:
        name = f"episode '{record.key}'" if isinstance(record, Episode) else type(record).__name__
        raise DatasetError(
            f"{name} cannot be written: {error}; keep Task.data, tool schemas and metadata to JSON values "
            "(text, numbers, true, false, null, lists, objects with text keys)"
        ) from None


def decode_manifest(line: bytes) -> Manifest:
    """Read a manifest."""
    return _MANIFEST.validate_json(line)


def decode_status(line: bytes) -> Status:
    """Read a status."""
    return _STATUS.validate_json(line)


def decode_finding(line: bytes) -> Finding:
    """Read a finding."""
    return _FINDING.validate_json(line)


def decode_batch(line: bytes) -> BatchRecord:
    """Read what a step was made of."""
    return _BATCH.validate_json(line)


def decode_episode(line: bytes) -> Episode:
    """Read an episode; the outcome's class follows from its ``kind``."""
    return _EPISODE.validate_json(line)


def decode_trajectory(line: bytes) -> Trajectory:
    """Read a trajectory; raises when its streams do not align."""
    return _TRAJECTORY.validate_json(line)


def encode_metrics(step: int, time: float, values: Mapping[str, float]) -> bytes:
    """Return the metrics of one step; numbers that are not finite become null, which any JSON reader takes."""
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return pydantic_core.to_json({"step": step, "time": round(time, 3), **finite})


def encode_resumption(step: int, time: float) -> bytes:
    """Return the line that takes back the metrics of every step after ``step``."""
    return pydantic_core.to_json({"resumed_after_step": step, "time": round(time, 3)})


def decode_metrics(line: bytes) -> dict[str, float]:
    """Read a line of metrics.jsonl; null reads as nan."""
    record: dict[str, float | None] = pydantic_core.from_json(line)
    return {name: math.nan if value is None else value for name, value in record.items()}
