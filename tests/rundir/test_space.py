"""A full disk, on a real file system of one megabyte: what is written is whole, and the error says what to do."""

import asyncio
import ctypes
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundir.attempts import make_attempt, make_group, record
from turnwright.config import ResolvedConfig
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import RunDirectoryError
from turnwright.core.task import Task
from turnwright.rundir import RunReader, RunWriter, collect_manifest
from turnwright.rundir.files import LineLog, read_lines, write_atomic, write_private
from turnwright.rundir.gateway_records import Opened
from turnwright.rundir.record_log import RecordLog, recover
from turnwright.rundir.space import free_bytes, recording, warn_when_short

LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if LIBC.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"size=1m"):
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    yield place
    # Lazily: a file that a failed test left open must not keep it.
    LIBC.umount2(os.fsencode(place), 2)


def fill(place: Path, *, leave: int = 0) -> Path:
    filler = place / "filler"
    filler.write_bytes(bytes(free_bytes(place) - leave))
    return filler


def test_an_append_that_does_not_fit_leaves_no_torn_line(small_disk: Path):
    line = b"x" * 300_000
    with LineLog(small_disk / "log.jsonl") as log:
        for _ in range(3):
            log.append(line)
        with pytest.raises(RunDirectoryError) as refusal:
            log.append(line)
        assert list(read_lines(log.path)) == [line] * 3
        log.append(b"short")
    assert list(read_lines(log.path)) == [line] * 3 + [b"short"]
    message = str(refusal.value)
    assert message.startswith(f"'{small_disk}/log.jsonl' cannot be written: No space left on device; 0.1 MiB of 1 are")
    assert "What the run recorded before is whole. Free some space there" in message
    assert message.endswith("then continue with --resume")


def test_a_file_that_does_not_fit_stays_what_it_was(small_disk: Path):
    status = small_disk / "status.json"
    write_atomic(status, "old")
    filler = fill(small_disk)
    with pytest.raises(RunDirectoryError, match=r"status.json' cannot be written: No space left"):
        write_atomic(status, "new")
    with pytest.raises(RunDirectoryError, match="cannot be written: No space left"):
        write_private(small_disk / "gateway.json", "secret")
    with (
        LineLog(small_disk / "metrics.jsonl") as log,
        pytest.raises(RunDirectoryError, match="cannot be written: No space left"),
    ):
        log.append(b"{}")
    assert status.read_text() == "old"
    filler.unlink()
    write_atomic(status, "new")
    assert status.read_text() == "new"
    assert not list(small_disk.glob(".*"))


def test_the_gateways_log_refuses_and_what_it_took_is_recovered(small_disk: Path):
    def record(number: int) -> Opened:
        key = EpisodeKey(task_id="order-4", attempt=number)
        task = Task(id="order-4", prompt="x" * 100_000)
        return Opened(trajectory_id=f"t-{number}", job_arn="job", key=key, task=task, time=float(number))

    async def write() -> int:
        log = RecordLog(small_disk / "records")
        number = 0
        try:
            while True:
                await log.append(record(number))
                number += 1
        except RunDirectoryError:
            with pytest.raises(RunDirectoryError, match=r"No space left on device.*no later record is taken"):
                await log.append(record(number))
        await log.close()
        return number

    taken = asyncio.run(write())
    assert 5 < taken <= 10
    assert [found.opened.trajectory_id for found in recover(small_disk / "records")] == [f"t-{i}" for i in range(taken)]


def test_a_run_on_a_full_disk_keeps_its_open_groups_and_closes_the_step_later(small_disk: Path, config: ResolvedConfig):
    root, group, attempts = small_disk / "demo", make_group(0, "a"), [make_attempt("a", i) for i in range(2)]
    with RunWriter.create(root, config=config, manifest=collect_manifest(name="demo", seed=1)) as writer:
        writer.open_group(group)
        writer.attempt(0, attempts[0])
        filler = fill(small_disk)
        # The last page of the file has room left, so that the disk takes a part of the line.
        with pytest.raises(RunDirectoryError, match=r"000000\.jsonl' cannot be written: No space left on device"):
            writer.attempt(0, make_attempt("a", 1, calls=40))
        with pytest.raises(RunDirectoryError, match=r"step_000001\.parquet' cannot be written: No space left"):
            writer.close_step(record(1, [group]), attempts)
        (found,) = RunReader(root).open_groups()
        assert found.attempts == (attempts[0],)
        filler.unlink()
        writer.attempt(0, attempts[1])
        writer.close_step(record(1, [group]), attempts)
    assert RunReader(root).closed_steps(after=0) == 1
    assert list(RunReader(root).attempts(1)) == attempts
    assert [path.name for path in (root / "trajectories").iterdir()] == ["step_000001.parquet"]


def test_libraries_that_hide_the_disks_answer_are_understood(small_disk: Path):
    safetensors = pytest.importorskip("safetensors.torch")
    torch = pytest.importorskip("torch")
    polars = pytest.importorskip("polars")
    big = torch.rand(10**6, generator=torch.Generator().manual_seed(1))
    for save in (
        lambda path: safetensors.save_file({"weight": big}, path),
        lambda path: torch.save(big, path),
        lambda path: polars.DataFrame({"weight": big.numpy()}).write_parquet(path),
    ):
        path = small_disk / "weights"
        with pytest.raises(RunDirectoryError, match="cannot be written: No space left on device"), recording(path):
            save(path)
        path.unlink(missing_ok=True)


def test_what_is_not_the_disks_fault_passes(tmp_path: Path):
    with pytest.raises(PermissionError), recording(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(RuntimeError, match="shape mismatch"), recording(tmp_path):
        raise RuntimeError("shape mismatch")
    with pytest.raises(RunDirectoryError, match=r"Input/output error.*Look at the disk"), recording(tmp_path):
        raise OSError(errno.EIO, "Input/output error")
    with pytest.raises(RunDirectoryError, match=r"Disk quota exceeded.*[fF]ree some of the quota"), recording(tmp_path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_a_checkpoint_that_may_not_fit_is_said_before_it_is_written(small_disk: Path, caplog: pytest.LogCaptureFixture):
    checkpoints = small_disk / "checkpoints"
    assert not warn_when_short(checkpoints)
    weights = checkpoints / "step_000004" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(200_000))
    with caplog.at_level(logging.WARNING):
        assert not warn_when_short(checkpoints)
        fill(small_disk, leave=215_000)
        assert warn_when_short(checkpoints)
    assert "step_000004') has 0.2 MiB, and 0.2 MiB of 1 are free" in caplog.text
    assert weights.exists()
