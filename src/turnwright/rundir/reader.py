"""RunReader: a run directory as typed records, while it is being written or long after."""

import math
from collections.abc import Callable, Iterator
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
from turnwright.rundir.files import read_lines
from turnwright.rundir.layout import RunLayout, step_of
from turnwright.rundir.lock import is_locked
from turnwright.rundir.record_log import recover
from turnwright.rundir.records import BatchRecord, Manifest, Status

Record = TypeVar("Record")
Keyed = TypeVar("Keyed", Episode, Trajectory)


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
        """Return what the steps of a mixture, or of a run with filling, were made of, in order.

        The last record of a step counts: one that was done again, or filled round by round, has several.
        """
        by_step = {batch.step: batch for batch in _read(self.layout.batches, records.decode_batch)}
        return tuple(by_step[step] for step in sorted(by_step))

    def episode_steps(self) -> tuple[int, ...]:
        """Return the steps that have episodes."""
        return self._steps("episodes")

    def validation_steps(self) -> tuple[int, ...]:
        """Return the steps that were validated."""
        return self._steps("validation")

    def episodes(self, step: int) -> Iterator[Episode]:
        """Yield a step's episodes in order of ending; the last record of an attempt counts."""
        return iter(_latest(self.layout.episodes(step), records.decode_episode).values())

    def validation(self, step: int) -> Iterator[Episode]:
        """Yield the validation episodes of the policy that ``step`` published."""
        return iter(_latest(self.layout.validation(step), records.decode_episode).values())

    def trajectories(self, step: int) -> Iterator[Trajectory]:
        """Yield a step's trajectories, from Parquet or, while the step is unfinished, from the journal."""
        if not self.layout.trajectories(step).exists():
            return iter(_latest(self.layout.journal(step), records.decode_trajectory).values())
        from turnwright.rundir.table import read_table

        return read_table(self.layout.trajectories(step))

    def attempts(self, step: int) -> Iterator[Attempt]:
        """Yield a step's attempts, in messages and in tokens; one that was cut off by a crash is left out."""
        closed = self.layout.trajectories(step).exists()
        trajectories = {trajectory.key: trajectory for trajectory in self.trajectories(step)}
        for episode in self.episodes(step):
            trajectory = trajectories.get(episode.key)
            if trajectory is None and closed:
                # Parquet has one row per model call, so an attempt without any has none.
                trajectory = Trajectory(key=episode.key)
            if trajectory is not None:
                yield Attempt(episode=episode, trajectory=trajectory)

    def unfinished_attempts(self, step: int) -> tuple[Attempt, ...]:
        """Return the attempts a crash left behind in a step that was never closed; none for a closed one."""
        return () if self.layout.trajectories(step).exists() else tuple(self.attempts(step))

    def logged_attempts(self, step: int) -> tuple[Attempt, ...]:
        """Return the attempts of a step that the gateway's log has; of several at one key the last one.

        An agent's reward is in that log before its attempt is among those of the step: a crash in between leaves it
        there alone. Only what the policy sampled that the run resumes from counts, and not what a policy of the same
        number did before an earlier crash.
        """
        since = next((line["time"] for line in self.metrics() if line["step"] == step - 1 > 0), 0.0)
        found: dict[EpisodeKey, Attempt] = {}
        for recovered in recover(self.layout.records, since=since):
            attempt = recovered.attempt()
            if attempt is None or isinstance(attempt.episode.outcome, Failed) or attempt.episode.task.split != "train":
                continue
            versions = {version for turn in attempt.trajectory.turns for version in turn.policy_versions}
            if versions == {step - 1}:
                found[attempt.episode.key] = attempt
        return tuple(found.values())

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the saved policies, oldest first."""
        found: list[Checkpoint] = []
        for step in self._steps(self.layout.checkpoints.name):
            resume = self.layout.resume_state(step)
            path = self.layout.checkpoint(step)
            found.append(Checkpoint(path=path, step=step, resume=resume if resume.exists() else None))
        return tuple(found)

    def _steps(self, folder: str) -> tuple[int, ...]:
        steps = {step_of(path) for path in (self.layout.root / folder).glob("step_*")}
        return tuple(sorted(step for step in steps if step is not None))


def _read(path: Path, decode: Callable[[bytes], Record]) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), start=1):
        yield _decode(path, number, line, decode)


def _latest(path: Path, decode: Callable[[bytes], Keyed]) -> dict[EpisodeKey, Keyed]:
    latest: dict[EpisodeKey, Keyed] = {}
    for record in _read(path, decode):
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
