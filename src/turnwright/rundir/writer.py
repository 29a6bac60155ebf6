"""RunWriter: the one process that writes a run directory.

A run is written in this order, and each line says what a crash right after it leaves:

    open_group(group)         the group, which a resumed run goes on with
    attempt(number, ...)      the attempt: nobody has to make it again
    close_step(batch, ...)    the step: its attempts as Parquet and its line in batches.jsonl, which comes last and is
                              what counts; until it is there the group files are the truth, and then they are deleted
    metrics(step, ...)        the step's line in metrics.jsonl, and that its validation is complete
    checkpoint(step)          the policy: a resumed run trains the closed steps after the newest one again, from disk

Resuming takes back only what cannot be trained again: those files move to ``superseded/``, and metrics.jsonl and
batches.jsonl, which are only ever appended to, get a line that tells readers to forget the steps after it
(docs/decisions/021).
"""

import logging
import os
import shutil
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from turnwright.config import ResolvedConfig
from turnwright.core.checkpoint import ModelRecord
from turnwright.core.episode import Episode
from turnwright.core.errors import RunDirectoryError
from turnwright.core.finding import Finding
from turnwright.core.group import Attempt
from turnwright.rundir import records
from turnwright.rundir.checkpoints import seal
from turnwright.rundir.files import LineLog, hash_of, publish, sync, write_atomic
from turnwright.rundir.groups import GroupFiles, newest_version
from turnwright.rundir.layout import RunLayout, step_of
from turnwright.rundir.lock import WriterLock
from turnwright.rundir.reader import RunReader, read_group
from turnwright.rundir.records import BatchGroup, BatchRecord, Manifest, Phase, Resumption, Status
from turnwright.rundir.space import recording, warn_when_short

log = logging.getLogger(__name__)


class RunWriter:
    """Writes one run directory; a context manager that lets the next writer in when it ends.

    Example::

        with RunWriter.create(Path("runs/demo"), config=resolved, manifest=manifest) as writer:
            writer.open_group(group)
            writer.attempt(group.number, attempt)
            writer.close_step(BatchRecord(step=1, groups=(replace(group, fate="trained"),)), [attempt])
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
        self._groups = GroupFiles(layout)
        self._closed = 0
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
    def resume(cls, root: Path, *, step: int, checkpoint: int | None = None) -> Self:
        """Continue a run after ``step``, the newest one that can be trained again; what came later is taken back.

        Open groups stay, with what has ended of them, unless a policy sampled them that is not made again. So does the
        validation of every step whose metrics are there; one that was cut off is taken back.

        Args:
            root: The run directory.
            step: As ``RunReader.closed_steps`` says.
            checkpoint: Step of the checkpoint that the run goes on from: newer ones are taken back. None = ``step``.

        Raises:
            RunDirectoryError: There is no such run, it is being written, or an earlier version wrote it.
        """
        layout = RunLayout(root)
        reader = RunReader(root)
        with ExitStack() as on_error:
            lock = on_error.enter_context(WriterLock(layout.lock))
            reader.require_replayable()
            writer = cls(layout, lock)
            writer._take_back_after(step, step if checkpoint is None else checkpoint, reader)
            writer.status("starting", step)
            on_error.pop_all()
        return writer

    def open_group(self, group: BatchGroup) -> None:
        """Record that a group was dealt, before its first attempt is made."""
        self._groups.open(group)

    def attempt(self, number: int, attempt: Attempt) -> None:
        """Record one ended attempt of an open group, whatever its outcome; it survives a crash from here on."""
        self._groups.append(number, attempt)

    def close_step(self, batch: BatchRecord, attempts: Sequence[Attempt]) -> None:
        """Record what a step is made of, before it is trained; nothing of it changes any more.

        Args:
            batch: The groups that the step trains, and those that left for others since the step before.
            attempts: All attempts of these groups that ended.

        Raises:
            RunDirectoryError: The step is closed already, or one of its groups is not open.
        """
        step, numbers = batch.step, [group.number for group in batch.groups]
        if step <= self._closed:
            raise RunDirectoryError(
                f"step {step} of run '{self.layout.root}' is closed: what it trains cannot change any more; resume "
                "the run from a checkpoint before it"
            )
        self._groups.require(numbers)
        # Imported here: polars belongs to the extra [train], and this module to the base install.
        from turnwright.rundir.table import write_table

        files = (self.layout.trajectories(step), self.layout.episodes(step))
        write_table((attempt.trajectory for attempt in attempts), files[0])
        write_atomic(files[1], b"".join(records.encode(attempt.episode) + b"\n" for attempt in attempts))
        digests = {str(path.relative_to(self.layout.root)): hash_of(path) for path in files}
        commits = self._log(self.layout.batches)
        commits.append(records.encode(replace(batch, files=digests)))
        commits.sync()
        self._closed = step
        self._groups.remove(numbers)

    def set_aside(self, numbers: Iterable[int]) -> None:
        """Take open groups back, with what has ended of them: they are dealt again and sampled again."""
        for number in numbers:
            self._take_back(self.layout.group(number))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append the metrics of one step; once per step."""
        lines = self._log(self.layout.metrics)
        lines.append(records.encode_metrics(step, time.time(), values))
        lines.sync()
        self._close_logs(self.layout.validation(step))

    def validation(self, step: int, episode: Episode) -> None:
        """Record one ended validation episode of the policy that ``step`` published."""
        self._log(self.layout.validation(step)).append(records.encode(episode))

    def finding(self, finding: Finding) -> None:
        """Append a finding."""
        self._log(self.layout.findings).append(records.encode(finding))

    def status(self, phase: Phase, step: int, message: str = "") -> None:
        """Say what the run is doing; also its heartbeat."""
        status = Status(
            phase=phase, step=step, heartbeat=time.time(), pid=os.getpid(), launch=self.launch, message=message
        )
        write_atomic(self.layout.status, records.encode(status) + b"\n")

    @contextmanager
    def checkpoint(self, step: int, model: ModelRecord | None = None) -> Generator[Path]:
        """Give an empty folder to save a policy in; it gets its name only when the block ends without an error.

        It is sealed then, with ``model`` as what the policy is: ``checkpoints.verify`` notices what changes afterwards.
        Writing the step's metrics inside the block leaves no checkpoint without its line in metrics.jsonl.
        """
        final = self.layout.checkpoint(step)
        if final.exists():
            raise RunDirectoryError(f"checkpoint '{final}' already exists: a step publishes one policy")
        partial = final.with_name(f".{final.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        warn_when_short(self.layout.checkpoints)
        try:
            with recording(final):
                partial.mkdir(parents=True)
                yield partial
                self._groups.sync()
                seal(partial, step=step, model=model)
                for path in partial.rglob("*"):
                    sync(path)
                publish(partial, final)
        except BaseException:
            # On a full disk it would be in the way of what is small and still to be written.
            shutil.rmtree(partial, ignore_errors=True)
            raise

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

    def _log(self, path: Path) -> LineLog:
        if path not in self._logs:
            self._logs[path] = LineLog(path)
        return self._logs[path]

    def _close_logs(self, *paths: Path) -> None:
        for path in paths:
            if log := self._logs.pop(path, None):
                log.close()

    def _take_back_after(self, step: int, checkpoint: int, reader: RunReader) -> None:
        layout, reported = self.layout, {int(line["step"]) for line in reader.metrics()}
        for folder in layout.step_folders:
            last = checkpoint if folder == layout.checkpoints else step
            for path in sorted(folder.glob("step_*")):
                number = step_of(path) or 0
                cut_off = folder == layout.validations and number not in reported
                if number > last or cut_off:
                    self._take_back(path)
        for file in (layout.metrics, layout.batches):
            lines = self._log(file)
            lines.append(records.encode(Resumption(resumed_after_step=step, time=round(time.time(), 3))))
            lines.sync()
        self._groups.remove(group.number for batch in reader.batches() for group in batch.groups)
        self._groups.mend()
        for path in sorted(layout.groups.glob("[0-9]*.jsonl")):
            try:
                found = read_group(path)
            except RunDirectoryError as error:
                log.warning("an open group is made again: %s", error)
                self._take_back(path)
                continue
            if found and max(found[1].group.version, newest_version(found[1].attempts)) > step:
                self._take_back(path)
        self._closed = step

    def _take_back(self, path: Path) -> None:
        target = self.layout.superseded_by(self.launch) / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        publish(path, target)


def _link(link: Path, target: str) -> None:
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
