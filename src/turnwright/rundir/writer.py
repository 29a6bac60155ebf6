"""RunWriter: the one process that writes a run directory.

A step is written in this order, and each line says what a crash right after it leaves:

    attempt(step, ...)        the attempt; the step is unfinished and its attempts can be picked up
    close_step(step)          the step's trajectories as Parquet
    metrics(step, ...)        the step's line in metrics.jsonl
    checkpoint(step)          the step itself: a run resumes after the newest checkpoint

Resuming takes back what came after the checkpoint: files move to ``superseded/``, and metrics.jsonl, which is only
ever appended to, gets a line that tells readers to forget the steps after it (docs/decisions/006).
"""

import os
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from turnwright.config import ResolvedConfig
from turnwright.core.episode import Episode
from turnwright.core.errors import RunDirectoryError
from turnwright.core.finding import Finding
from turnwright.core.group import Attempt
from turnwright.core.trajectory import Trajectory
from turnwright.rundir import records
from turnwright.rundir.files import LineLog, publish, read_lines, sync, write_atomic
from turnwright.rundir.layout import RunLayout, step_of
from turnwright.rundir.lock import WriterLock
from turnwright.rundir.records import BatchRecord, Manifest, Phase, Status


class RunWriter:
    """Writes one run directory; a context manager that lets the next writer in when it ends.

    Example::

        with RunWriter.create(Path("runs/demo"), config=resolved, manifest=manifest) as writer:
            writer.attempt(1, attempt)
            writer.close_step(1)
            writer.metrics(1, {"training/loss": 0.1})
    """

    def __init__(self, layout: RunLayout, lock: WriterLock) -> None:
        """Use ``create`` or ``resume``."""
        self.layout = layout
        self.launch = 1 + len(list(layout.logs.glob("attempt_*")))
        """Number of this process among those that wrote the run, from 1."""
        self.log_folder = layout.log_folder(self.launch)
        self._lock = lock
        self._logs: dict[Path, LineLog] = {}
        self.log_folder.mkdir(parents=True)
        _link(layout.logs / "latest", self.log_folder.name)

    @classmethod
    def create(cls, root: Path, *, config: ResolvedConfig, manifest: Manifest, config_text: str = "") -> Self:
        """Start a run in an empty or missing folder.

        Args:
            root: The run directory.
            config: What the run does.
            manifest: Who, when and with which versions.
            config_text: The run.toml as given; empty when there is none.

        Raises:
            RunDirectoryError: The folder has content or is being written.
        """
        layout = RunLayout(root)
        root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as on_error:
            lock = on_error.enter_context(WriterLock(layout.lock))
            if present := sorted(path.name for path in root.iterdir() if path != layout.lock):
                raise RunDirectoryError(
                    f"run directory '{root}' already exists and has {', '.join(present[:3])}: expected an empty "
                    "folder; choose another run.name, or continue that run with --resume"
                )
            write_atomic(layout.config_given, config_text)
            write_atomic(layout.config_resolved, config.to_json())
            write_atomic(layout.manifest, records.encode(manifest) + b"\n")
            writer = cls(layout, lock)
            writer.status("starting", 0)
            on_error.pop_all()
        return writer

    @classmethod
    def resume(cls, root: Path, *, step: int) -> Self:
        """Continue a run after ``step``; what came later is taken back, except attempts that still count.

        Attempts of an unclosed step ``step + 1`` were sampled by the policy that ``step`` published, so they stay
        and ``RunReader.unfinished_attempts`` returns them.

        Raises:
            RunDirectoryError: There is no such run, or it is being written.
        """
        layout = RunLayout(root)
        if not layout.manifest.is_file():
            raise RunDirectoryError(f"'{root}' is not a run directory: it has no manifest.json")
        with ExitStack() as on_error:
            lock = on_error.enter_context(WriterLock(layout.lock))
            writer = cls(layout, lock)
            writer._take_back_after(step)
            writer.status("starting", step)
            on_error.pop_all()
        return writer

    def attempt(self, step: int, attempt: Attempt) -> None:
        """Record one ended attempt of a running step, whatever its outcome; it survives a crash from here on."""
        self._require_open(step)
        # The episode comes last: an attempt counts as recorded when both of its lines are there.
        self._log(self.layout.journal(step)).append(records.encode(attempt.trajectory))
        self._log(self.layout.episodes(step)).append(records.encode(attempt.episode))

    def close_step(self, step: int) -> None:
        """Turn the step's journal into Parquet and make its episodes durable."""
        self._require_open(step)
        self._close_logs(self.layout.journal(step), self.layout.episodes(step), self.layout.batches)
        journal = self.layout.journal(step)
        latest: dict[str, Trajectory] = {}
        for trajectory in map(records.decode_trajectory, read_lines(journal)):
            latest[str(trajectory.key)] = trajectory
        # Imported here: polars belongs to the extra [train], and this module to the base install.
        from turnwright.rundir.table import write_table

        write_table(latest.values(), self.layout.trajectories(step))
        journal.unlink(missing_ok=True)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append the metrics of one step; once per step."""
        log = self._log(self.layout.metrics)
        log.append(records.encode_metrics(step, time.time(), values))
        log.sync()
        self._close_logs(self.layout.validation(step))

    def validation(self, step: int, episode: Episode) -> None:
        """Record one ended validation episode of the policy that ``step`` published."""
        self._log(self.layout.validation(step)).append(records.encode(episode))

    def finding(self, finding: Finding) -> None:
        """Append a finding."""
        self._log(self.layout.findings).append(records.encode(finding))

    def batch(self, batch: BatchRecord) -> None:
        """Append what a step is made of; the last time for a step counts."""
        self._log(self.layout.batches).append(records.encode(batch))

    def status(self, phase: Phase, step: int, message: str = "") -> None:
        """Say what the run is doing; also its heartbeat."""
        status = Status(
            phase=phase, step=step, heartbeat=time.time(), pid=os.getpid(), launch=self.launch, message=message
        )
        write_atomic(self.layout.status, records.encode(status) + b"\n")

    @contextmanager
    def checkpoint(self, step: int) -> Generator[Path]:
        """Give an empty folder to save a policy in; it gets its name only when the block ends without an error.

        Writing the step's metrics inside the block leaves no checkpoint without its line in metrics.jsonl.
        """
        final = self.layout.checkpoint(step)
        if final.exists():
            raise RunDirectoryError(f"checkpoint '{final}' already exists: a step publishes one policy")
        partial = final.with_name(f".{final.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        for path in partial.rglob("*"):
            sync(path)
        publish(partial, final)

    def close(self) -> None:
        """Make everything durable and let the next writer in."""
        self._close_logs(*self._logs)
        self._lock.release()

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def _require_open(self, step: int) -> None:
        if self.layout.trajectories(step).exists():
            raise RunDirectoryError(
                f"step {step} of run '{self.layout.root}' is closed: what it trained cannot change any more; "
                "resume the run from a checkpoint before it"
            )

    def _log(self, path: Path) -> LineLog:
        if path not in self._logs:
            self._logs[path] = LineLog(path)
        return self._logs[path]

    def _close_logs(self, *paths: Path) -> None:
        for path in paths:
            if log := self._logs.pop(path, None):
                log.close()

    def _take_back_after(self, step: int) -> None:
        keep: set[Path] = set()
        if not self.layout.trajectories(step + 1).exists():
            keep = {self.layout.journal(step + 1), self.layout.episodes(step + 1)}
        for folder in self.layout.step_folders:
            for path in sorted(folder.glob("step_*")):
                if (step_of(path) or 0) > step and path not in keep:
                    target = self.layout.superseded_by(self.launch) / folder.name / path.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    publish(path, target)
        log = self._log(self.layout.metrics)
        log.append(records.encode_resumption(step, time.time()))
        log.sync()


def _link(link: Path, target: str) -> None:
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
