"""The log under cancellation, full disks, torn tails and kill -9."""

import asyncio
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rundir import gateway_trajectory as sample
from turnwright.core.errors import DatasetError, RunDirectoryError
from turnwright.core.task import Task
from turnwright.rundir.gateway_records import Opened, decode
from turnwright.rundir.record_log import NoLog, RecordLog, recover


def opened(number: int) -> Opened:
    return replace(sample.OPENED, trajectory_id=f"t-{number}")


def ids(folder: Path) -> list[str]:
    return [found.opened.trajectory_id for found in recover(folder)]


def fill(folder: Path, numbers: range, **settings: int) -> None:
    async def run() -> None:
        log = RecordLog(folder, **settings)
        for number in numbers:
            await log.append(opened(number))
        await log.close()

    asyncio.run(run())


def test_a_record_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    async def run() -> None:
        log = RecordLog(tmp_path / "records")
        for count, record in enumerate((sample.OPENED, sample.FIRST, sample.SECOND), start=1):
            await log.append(record)
            lines = (tmp_path / "records" / "000001.jsonl").read_bytes().splitlines()
            assert len(lines) == count
            assert decode(lines[-1]) == record
        await log.close()

    asyncio.run(run())


def test_records_that_wait_together_are_synced_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    write = RecordLog._write

    def counting(log: RecordLog, lines: list[bytes]) -> None:
        synced.append(len(lines))
        write(log, lines)

    monkeypatch.setattr(RecordLog, "_write", counting)

    async def run() -> None:
        log = RecordLog(tmp_path)
        await asyncio.gather(*(log.append(opened(number)) for number in range(100)))
        await log.close()

    asyncio.run(run())
    assert synced == [1, 99]
    assert ids(tmp_path) == [f"t-{number}" for number in range(100)]


def test_cancelling_one_waiter_loses_no_line_and_hurts_no_other(tmp_path: Path) -> None:
    async def run() -> None:
        log = RecordLog(tmp_path)
        waiters = [asyncio.create_task(log.append(opened(number))) for number in range(10)]
        await asyncio.sleep(0)
        for waiter in waiters[::2]:
            waiter.cancel()
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False] * 5
        await log.append(opened(10))
        await log.close()

    asyncio.run(run())
    assert ids(tmp_path) == [f"t-{number}" for number in range(11)]


def test_close_writes_what_waits_and_refuses_what_comes_later(tmp_path: Path) -> None:
    async def run() -> None:
        log = RecordLog(tmp_path)
        waiters = [asyncio.create_task(log.append(opened(number))) for number in range(5)]
        await asyncio.sleep(0)
        await log.close()
        assert ids(tmp_path) == [f"t-{number}" for number in range(5)]
        await asyncio.gather(*waiters)
        with pytest.raises(RunDirectoryError, match=r"is closed: the opened record of trajectory 't-6' came too late"):
            await log.append(opened(6))
        await log.close()

    asyncio.run(run())


def test_a_record_json_cannot_say_is_refused_and_the_log_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        log = RecordLog(tmp_path)
        with pytest.raises(DatasetError, match=r"opened record of trajectory 't-0' cannot be written"):
            await log.append(replace(opened(0), task=Task(id="t1", prompt="", data={"world": object()})))
        await log.append(opened(1))
        await log.close()

    asyncio.run(run())
    assert ids(tmp_path) == ["t-1"]


@contextmanager
def full_disk(after_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: writing fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_failing_disk_is_told_to_every_waiter_and_to_every_later_append(tmp_path: Path) -> None:
    async def run() -> None:
        log = RecordLog(tmp_path)
        await log.append(opened(0))
        size = (tmp_path / "000001.jsonl").stat().st_size
        with full_disk(after_bytes=size + 20):
            results = await asyncio.gather(*(log.append(opened(n)) for n in range(1, 9)), return_exceptions=True)
        assert len(results) == 8
        for result in results:
            assert isinstance(result, RunDirectoryError)
            assert "000001.jsonl' cannot be written" in str(result)
        assert len({id(result) for result in results}) == 8
        with pytest.raises(RunDirectoryError, match="no later record is taken"):
            await log.append(opened(9))
        await log.close()

    asyncio.run(run())
    assert ids(tmp_path)[0] == "t-0"
    assert "t-2" not in ids(tmp_path)
    assert "t-9" not in ids(tmp_path)


def test_segments_rotate_by_size_and_a_new_process_goes_on_in_the_last(tmp_path: Path) -> None:
    fill(tmp_path, range(6), segment_bytes=400)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) > 1
    assert names[0] == "000001.jsonl"
    fill(tmp_path, range(6, 7), segment_bytes=10**6)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert ids(tmp_path) == [f"t-{number}" for number in range(7)]


def test_only_the_tail_of_the_last_segment_may_be_torn(tmp_path: Path) -> None:
    fill(tmp_path, range(6), segment_bytes=400)
    first, *_, last = sorted(tmp_path.iterdir())
    with last.open("ab") as file:
        file.write(b'{"kind":"opened","traj')
    assert len(ids(tmp_path)) == 6
    fill(tmp_path, range(6, 7))
    assert len(ids(tmp_path)) == 7
    content = first.read_bytes()
    first.write_bytes(content[:-5])
    number = content.count(b"\n")
    with pytest.raises(RunDirectoryError, match=rf"000001\.jsonl' line {number} is torn"):
        recover(tmp_path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    path = tmp_path / "000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"kind":"opened"}\n' + lines[1])
    with pytest.raises(
        RunDirectoryError, match=r"000001\.jsonl' line 2 is not a gateway record of this version: Field"
    ):
        recover(tmp_path)


def test_a_missing_segment_is_named_by_reader_and_writer(tmp_path: Path) -> None:
    fill(tmp_path, range(6), segment_bytes=200)
    (tmp_path / "000002.jsonl").unlink()
    for open_log in (recover, RecordLog):
        with pytest.raises(RunDirectoryError, match=r"expected '000002\.jsonl' and found '000003\.jsonl'"):
            open_log(tmp_path)


def test_no_log_has_no_trajectories(tmp_path: Path) -> None:
    async def run() -> None:
        log = NoLog()
        await log.append(sample.OPENED)
        await log.close()

    asyncio.run(run())
    assert recover(tmp_path / "absent") == ()


KILLED = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from rundir import gateway_trajectory as sample
from turnwright.rundir.record_log import RecordLog

async def run():
    log = RecordLog(Path(sys.argv[1]), segment_bytes=4096)
    async def work(lane):
        for index in range(lane, 10**9, 4):
            await log.append(replace(sample.OPENED, trajectory_id=f"t-{index}"))
            print(index, flush=True)
    await asyncio.gather(*(work(lane) for lane in range(4)))

asyncio.run(run())
"""


@pytest.mark.slow
def test_kill_9_loses_no_record_whose_append_returned(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    paths = ":".join(path for path in sys.path if path)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": paths}, text=True)
    assert process.stdout is not None
    told: list[str] = []
    for line in process.stdout:
        told.append(line)
        if len(told) == 200:
            process.send_signal(signal.SIGKILL)
            break
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    # What the pipe holds after the kill was printed before it; its last line may be torn.
    told += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    found = ids(tmp_path)
    assert {f"t-{line.strip()}" for line in told} <= set(found)
    assert len(found) <= len(told) + 2 * 4
    fill(tmp_path, range(10**9, 10**9 + 1))
    assert ids(tmp_path) == [*found, f"t-{10**9}"]
