"""Small files of a run directory as typed records, and the codec between nouns and JSON lines."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import pydantic_core
from pydantic import TypeAdapter

from turnwright.core.checkpoint import ModelRecord
from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError
from turnwright.core.finding import Finding
from turnwright.core.group import Attempt
from turnwright.core.task import Split
from turnwright.core.trajectory import Trajectory

Phase = Literal[
    "starting", "replay", "rollout", "paused", "update", "validation", "checkpoint", "finished", "failed", "stopped"
]
ENDED: tuple[Phase, ...] = ("finished", "failed", "stopped")
PHASES: tuple[Phase, ...] = get_args(Phase)

Fate = Literal["open", "trained", "no_signal", "stale"]
"""What became of a group: open = dealt and in no closed step; no_signal and stale ones left for a fresh one."""


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
    """What this run starts from: a model, or with --from the run and its step, as "runs/first@40"."""
    model: ModelRecord | None = None
    """The policy it starts from; None = the run does not say."""
    tasks: Mapping[Split, str] = field(default_factory=dict[Split, str])
    """SHA-256 of each split's tasks; tasks.jsonl has those of each task."""
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
    """One group, as it was dealt, and what became of it."""

    number: int
    """Place in the order of admission, from 0; no two of a run have the same. -1 in runs of an earlier version."""
    task: str
    domain: str
    """Empty outside a mixture."""
    epoch: int
    """Pass over its domain's tasks, from 0; its attempts are numbered from ``epoch * group_size``."""
    round: int = 0
    """Rounds of filling behind it: in place of a group without signal one more than that has, otherwise as many."""
    instead_of: int | None = None
    """Number of the group that it was dealt in place of; None = it was dealt in the regular order."""
    version: int = 0
    """Version of the policy that it was admitted under."""
    fate: Fate = "open"

    @property
    def refill(self) -> bool:
        """Whether it was dealt in place of another group."""
        return self.instead_of is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """What a step is made of; its line in batches.jsonl closes the step.

    The groups that are trained come first, in the order in which they are, then the others in order of leaving.
    """

    step: int
    groups: tuple[BatchGroup, ...]
    files: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    """SHA-256 of the files that hold the attempts, by path in the run directory; the writer fills it in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Takes back what a file says before it of every later step."""

    resumed_after_step: int
    time: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGroup:
    """A group that belongs to no closed step, as an interrupted process left it."""

    group: BatchGroup
    attempts: tuple[Attempt, ...]
    """Those that ended, in order of ending; of several at one key the last one."""


_MANIFEST = TypeAdapter(Manifest)
_STATUS = TypeAdapter(Status)
_FINDING = TypeAdapter(Finding)
_BATCH: TypeAdapter[BatchRecord | Resumption] = TypeAdapter(BatchRecord | Resumption)
_EPISODE = TypeAdapter(Episode)
_TRAJECTORY = TypeAdapter(Trajectory)


def encode(record: Manifest | Status | Finding | BatchRecord | Resumption | Episode | Trajectory) -> bytes:
    """Return a record as one line of JSON. Floats keep every bit.

    Raises:
        DatasetError: A task, tool or metadata holds something that JSON cannot say.
    """
    return to_line(record, f"episode '{record.key}'" if isinstance(record, Episode) else type(record).__name__)


def to_line(record: object, name: str) -> bytes:
    """Return any record as a line of JSON; ``name`` is what an error calls it."""
    try:
        return pydantic_core.to_json(record, inf_nan_mode="constants")
    except pydantic_core.PydanticSerializationError as error:
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


def decode_batch(line: bytes) -> BatchRecord | Resumption:
    """Read a line of batches.jsonl. A run of an earlier version numbers no group and knows but one reason to leave."""
    content = pydantic_core.from_json(line)
    for group in content.get("groups", ()):
        group.setdefault("number", -1)
        group.setdefault("fate", "no_signal" if group.get("replaced") else "trained")
    return _BATCH.validate_python(content)


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


def decode_metrics(line: bytes) -> dict[str, float]:
    """Read a line of metrics.jsonl; null reads as nan."""
    record: dict[str, float | None] = pydantic_core.from_json(line)
    return {name: math.nan if value is None else value for name, value in record.items()}
