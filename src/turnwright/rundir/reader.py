"""RunReader: a run directory as typed records, while it is being written or long after."""

import logging
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from turnwright.config import ResolvedConfig
from turnwright.core.checkpoint import Checkpoint
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import AlignmentError, RunDirectoryError
from turnwright.core.finding import Finding
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed
from turnwright.core.trajectory import Trajectory
from turnwright.rundir import records
from turnwright.rundir.files import hash_of, read_lines
from turnwright.rundir.groups import GroupLine, decode_attempt, decode_group, keys_of, newest_version
from turnwright.rundir.layout import RunLayout, step_of
from turnwright.rundir.lock import is_locked
from turnwright.rundir.record_log import recover
from turnwright.rundir.records import BatchRecord, Manifest, OpenGroup, Resumption, Status

log = logging.getLogger(__name__)
Record = TypeVar("Record")


class RunReader:
    """Reads one run directory and never writes to it. A torn last line of any file is not a record.

    Example::

        run = RunReader(Path("runs/demo"))
        rewards = [step["rollout/reward/mean"] for step in run.metrics()]
    """

    def __init__(self, root: Path) -> None:
        """Raises RunDirectoryError when ``root`` is not a run directory."""
        self.layout = RunLayout(root)
        if not self.layout.manifest.is_file():
            raise RunDirectoryError(f"'{root}' is not a run directory: it has no manifest.json")

    def manifest(self) -> Manifest:
        """Return who made the run, when, and with which versions."""
        return _decode(self.layout.manifest, 1, self.layout.manifest.read_bytes(), records.decode_manifest)

    def config(self) -> ResolvedConfig:
        """Return what the run was told to do."""
        return ResolvedConfig.from_json(self.layout.config_resolved.read_text(encoding="utf-8"))

    def status(self) -> Status | None:
        """Return what the run is doing, or last did; None before its first status."""
        if not self.layout.status.is_file():
            return None
        return _decode(self.layout.status, 1, self.layout.status.read_bytes(), records.decode_status)

    def is_running(self) -> bool:
        """Say whether a process writes the run right now."""
        return is_locked(self.layout.lock)

    def metrics(self) -> list[dict[str, float]]:
        """Return one object per step, in order of steps; the keys "step" and "time" are among its keys.

        The last record of a step counts, and a resumed run takes back the steps after its checkpoint.
        """
        by_step: dict[float, dict[str, float]] = {}
        for record in _read(self.layout.metrics, records.decode_metrics):
            resumed_after = record.get("resumed_after_step", math.inf)
            by_step = {step: values for step, values in by_step.items() if step <= resumed_after}
            if "step" in record:
                by_step[record["step"]] = record
        return [by_step[step] for step in sorted(by_step)]

    def findings(self) -> tuple[Finding, ...]:
        """Return every finding, in order of writing."""
        return tuple(_read(self.layout.findings, records.decode_finding))

    def batches(self) -> tuple[BatchRecord, ...]:
        """Return what the closed steps were made of, in order.

        The last record of a step counts, and a resumed run takes back the steps that it does again.
        """
        by_step: dict[int, BatchRecord] = {}
        for record in _read(self.layout.batches, records.decode_batch):
            if isinstance(record, Resumption):
                by_step = {step: batch for step, batch in by_step.items() if step <= record.resumed_after_step}
            else:
                by_step[record.step] = record
        return tuple(by_step[step] for step in sorted(by_step))

    def closed_steps(self, *, after: int) -> int:
        """Return the newest step up to which all steps after ``after`` can be trained again from disk.

        A step counts when its record is there, and its files are what was written; what ends the row is logged.
        """
        by_step = {batch.step: batch for batch in self.batches()}
        step = after
        while (batch := by_step.get(step + 1)) is not None:
            if problem := self._damage(batch):
                message = "step %d cannot be trained again from disk, so that it and what came after is made again: %s"
                log.warning(message, step + 1, problem)
                break
            step += 1
        return step

    def require_replayable(self) -> None:
        """Raise RunDirectoryError for a run that does not say what its steps were made of: an earlier version's."""
        numbered = {batch.step for batch in self.batches() if all(group.number >= 0 for group in batch.groups)}
        unknown = {int(record["step"]) for record in self.metrics()} - numbered - {0}
        journals = {step_of(path) or 0 for path in self.layout.trajectories(0).parent.glob("step_*.jsonl")}
        if missing := sorted(unknown | journals):
            raise RunDirectoryError(
                f"run '{self.layout.root}' cannot be resumed: '{self.layout.batches}' does not say what step "
                f"{missing[0]} was made of, as an earlier version of turnwright leaves it; start a new run from its "
                f"last checkpoint, with --from {self.layout.root.name}"
            )

    def episode_steps(self) -> tuple[int, ...]:
        """Return the steps that have episodes."""
        return self._steps("episodes")

    def validation_steps(self) -> tuple[int, ...]:
        """Return the steps that were validated."""
        return self._steps("validation")

    def episodes(self, step: int) -> Iterator[Episode]:
        """Yield the episodes of a closed step; the last record of an attempt counts."""
        return iter(_latest(self.layout.episodes(step)).values())

    def validation(self, step: int) -> Iterator[Episode]:
        """Yield the validation episodes of the policy that ``step`` published."""
        return iter(_latest(self.layout.validation(step)).values())

    def trajectories(self, step: int) -> Iterator[Trajectory]:
        """Yield the trajectories of a closed step; an attempt without a model call has none."""
        path = self.layout.trajectories(step)
        if not path.exists():
            return iter(())
        from turnwright.rundir.table import read_table

        return read_table(path)

    def attempts(self, step: int) -> Iterator[Attempt]:
        """Yield the attempts of a closed step, in messages and in tokens; none of any other."""
        if not self.layout.trajectories(step).exists():
            return
        trajectories = {trajectory.key: trajectory for trajectory in self.trajectories(step)}
        for episode in self.episodes(step):
            trajectory = trajectories.get(episode.key, Trajectory(key=episode.key))
            yield Attempt(episode=episode, trajectory=trajectory)

    def open_groups(self) -> tuple[OpenGroup, ...]:
        """Return the groups that belong to no closed step, in order of their numbers, with what ended of them."""
        return tuple(group for _, group in self._open_groups())

    def logged_attempts(self, keys: Collection[EpisodeKey], *, version: float = math.inf) -> tuple[Attempt, ...]:
        """Return the attempts of open groups that only the gateway's log has; of several at one key the last one.

        An agent's reward is in that log before its attempt is in its group's file: a crash in between leaves it there
        alone. What was sampled before its group was opened belongs to an earlier group of the same task.

        Args:
            keys: Attempts that are wanted.
            version: Newest version of the policy that may have sampled a token of theirs.
        """
        groups, size = self._open_groups(), self._group_size()
        opened = {key: line.opened for line, _ in groups for key in keys_of(line.group, size)}
        known = {attempt.episode.key for _, group in groups for attempt in group.attempts if _survived(attempt)}
        found: dict[EpisodeKey, Attempt] = {}
        for recovered in recover(self.layout.records, since=min(opened.values(), default=math.inf)):
            key, attempt = recovered.opened.key, recovered.attempt()
            if key not in keys or key in known or recovered.opened.time < opened.get(key, math.inf):
                continue
            if attempt is None or not _survived(attempt) or attempt.episode.task.split != "train":
                continue
            if newest_version([attempt]) <= version:
                found[key] = attempt
        return tuple(found.values())

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the saved policies, oldest first."""
        found: list[Checkpoint] = []
        for step in self._steps(self.layout.checkpoints.name):
            resume = self.layout.resume_state(step)
            path = self.layout.checkpoint(step)
            found.append(Checkpoint(path=path, step=step, resume=resume if resume.exists() else None))
        return tuple(found)

    def _open_groups(self) -> list[tuple[GroupLine, OpenGroup]]:
        closed = {group.number for batch in self.batches() for group in batch.groups}
        numbers = (int(path.stem) for path in self.layout.groups.glob("[0-9]*.jsonl"))
        found = (read_group(self.layout.group(number)) for number in sorted(numbers) if number not in closed)
        return [group for group in found if group is not None]

    def _damage(self, batch: BatchRecord) -> str:
        """Return what is wrong with the files of a closed step; empty when they are as they were written."""
        for name, digest in batch.files.items():
            path = self.layout.root / name
            if not path.is_file():
                return f"'{path}' is missing"
            if hash_of(path) != digest:
                return f"'{path}' is not what was written"
        return ""

    def _group_size(self) -> int:
        return self.config().config.algorithm.group_size

    def _steps(self, folder: str) -> tuple[int, ...]:
        steps = {step_of(path) for path in (self.layout.root / folder).glob("step_*")}
        return tuple(sorted(step for step in steps if step is not None))


def read_group(path: Path) -> tuple[GroupLine, OpenGroup] | None:
    """Read the file of an open group; None while it has no whole line."""
    lines = enumerate(read_lines(path), start=1)
    first = next(lines, None)
    if first is None:
        return None
    opened = _decode(path, *first, decode_group)
    latest: dict[EpisodeKey, Attempt] = {}
    for number, line in lines:
        attempt = _decode(path, number, line, decode_attempt)
        latest.pop(attempt.episode.key, None)
        latest[attempt.episode.key] = attempt
    return opened, OpenGroup(group=opened.group, attempts=tuple(latest.values()))


def _survived(attempt: Attempt) -> bool:
    return not isinstance(attempt.episode.outcome, Failed)


def _read(path: Path, decode: Callable[[bytes], Record]) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), start=1):
        yield _decode(path, number, line, decode)


def _latest(path: Path) -> dict[EpisodeKey, Episode]:
    latest: dict[EpisodeKey, Episode] = {}
    for record in _read(path, records.decode_episode):
        latest.pop(record.key, None)
        latest[record.key] = record
    return latest


def _decode(path: Path, number: int, line: bytes, decode: Callable[[bytes], Record]) -> Record:
    try:
        return decode(line)
    except (ValueError, AlignmentError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise RunDirectoryError(
            f"'{path}' line {number} is not a record of this version: {reason}; restore the file or remove the line"
        ) from error
