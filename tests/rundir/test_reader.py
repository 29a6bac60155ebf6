import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rundir.attempts import make_attempt, make_group, take_step
from rundir.gateway_trajectory import FIRST, OPENED, reward, sealed
from turnwright.core.errors import RunDirectoryError
from turnwright.core.outcome import Failed, Rewarded
from turnwright.rundir import RunReader, RunWriter, records
from turnwright.rundir.gateway_records import GatewayRecord
from turnwright.rundir.record_log import RecordLog


def test_metrics_come_in_order_of_steps_and_the_last_record_of_a_step_counts(writer: RunWriter, root: Path) -> None:
    for step, loss in ((0, 0.0), (2, 0.2), (1, 0.1), (2, 0.3)):
        writer.metrics(step, {"training/loss": loss})
    assert [(m["step"], m["training/loss"]) for m in RunReader(root).metrics()] == [(0, 0.0), (1, 0.1), (2, 0.3)]


def test_a_metric_that_is_not_finite_reads_as_nan(writer: RunWriter, root: Path) -> None:
    writer.metrics(1, {"training/loss": math.inf})
    assert math.isnan(RunReader(root).metrics()[0]["training/loss"])


def test_a_torn_last_line_is_left_out(writer: RunWriter, root: Path) -> None:
    writer.metrics(1, {"a": 1.0})
    with (root / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "a')
    assert [m["step"] for m in RunReader(root).metrics()] == [1]


def test_a_broken_record_in_the_middle_is_named(writer: RunWriter, root: Path) -> None:
    take_step(writer, 1)
    path = writer.layout.episodes(1)
    path.write_bytes(path.read_bytes() + b'{"key": 3}\n')
    with pytest.raises(RunDirectoryError, match=r"step_000001\.jsonl' line 2 is not a record"):
        list(RunReader(root).episodes(1))


def test_a_step_without_records_is_empty(writer: RunWriter, root: Path) -> None:
    reader = RunReader(root)
    assert (list(reader.episodes(7)), list(reader.trajectories(7)), list(reader.validation(7))) == ([], [], [])
    assert (reader.metrics(), reader.findings(), reader.checkpoints(), reader.episode_steps()) == ([], (), (), ())


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        RunReader(tmp_path / "absent")


def test_steps_are_closed_as_far_as_they_can_be_read(writer: RunWriter, root: Path) -> None:
    for step in (1, 2, 3, 5):
        take_step(writer, step)
    reader = RunReader(root)
    assert [reader.closed_steps(after=step) for step in (0, 2, 3, 4, 5)] == [3, 3, 3, 5, 5]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("file", ["trajectories/step_000002.parquet", "episodes/step_000002.jsonl"])
@pytest.mark.parametrize(
    ("spoil", "why"), [(flip, "is not what was written"), (cut, "is not what was written"), (Path.unlink, "is missing")]
)
def test_a_step_that_cannot_be_read_ends_the_row_and_is_named(
    writer: RunWriter,
    root: Path,
    file: str,
    spoil: Callable[[Path], None],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    take_step(writer, 1)
    take_step(writer, 2, "a", "b")
    take_step(writer, 3)
    spoil(root / file)
    assert RunReader(root).closed_steps(after=0) == 1
    assert "step 2 cannot be trained again from disk" in caplog.text
    assert f"{file}' {why}" in caplog.text


def test_a_table_that_cannot_be_read_is_named(writer: RunWriter, root: Path) -> None:
    take_step(writer, 1)
    cut(writer.layout.trajectories(1))
    with pytest.raises(RunDirectoryError, match=r"step_000001\.parquet' cannot be read: .*restore the file"):
        list(RunReader(root).attempts(1))


@pytest.fixture
def earlier(writer: RunWriter, root: Path) -> Path:
    """A run as an earlier version left it in its second step: no number in its batch, and a journal."""
    take_step(writer, 1, "a", "b")
    writer.close()
    group = '{"task":"%s","domain":"","epoch":0,"round":%d,"replaced":%s}'
    groups = ",".join(group % values for values in (("a", 1, "false"), ("b", 0, "true")))
    (root / "batches.jsonl").write_text(f'{{"step":1,"groups":[{groups}]}}\n')
    (root / "groups").rmdir()
    attempt = make_attempt("c")
    (root / "trajectories" / "step_000002.jsonl").write_bytes(records.encode(attempt.trajectory) + b"\n")
    (root / "episodes" / "step_000002.jsonl").write_bytes(records.encode(attempt.episode) + b"\n")
    return root


def test_a_run_of_an_earlier_version_can_be_read(earlier: Path) -> None:
    reader = RunReader(earlier)
    (batch,) = reader.batches()
    assert [(group.task, group.round, group.fate) for group in batch.groups] == [
        ("a", 1, "trained"),
        ("b", 0, "no_signal"),
    ]
    assert [str(attempt.episode.key) for attempt in reader.attempts(1)] == ["a#0", "b#0"]
    assert [str(episode.key) for episode in reader.episodes(2)] == ["c#0"]
    assert (reader.open_groups(), list(reader.attempts(2))) == ((), [])


@pytest.mark.parametrize("lost", ["batches.jsonl", "trajectories/step_000002.jsonl"])
def test_a_run_of_an_earlier_version_is_not_resumed_and_left_as_it_is(earlier: Path, lost: str) -> None:
    (earlier / lost).unlink()
    before = sorted(earlier.rglob("*"))
    for _ in range(2):
        with pytest.raises(RunDirectoryError, match=r"what step [12] was made of.* --from demo"):
            RunWriter.resume(earlier, step=1)
    assert sorted(earlier.rglob("*")) == before


def log(folder: Path, *lines: GatewayRecord) -> None:
    async def append() -> None:
        opened = RecordLog(folder)
        for one in lines:
            await opened.append(one)
        await opened.close()

    asyncio.run(append())


def logged(trajectory_id: str, attempt: int, *, version: int, opened: float, value: float = 1.0) -> list[GatewayRecord]:
    """The records of a rewarded trajectory of one turn."""
    turn = replace(FIRST, policy_versions=(version, version))
    key = replace(OPENED.key, attempt=attempt)
    records = (replace(OPENED, key=key, time=opened), turn, sealed(), reward(value))
    return [replace(record, trajectory_id=trajectory_id) for record in records]


def test_the_gateways_log_gives_the_attempts_that_did_not_reach_their_group(writer: RunWriter, root: Path) -> None:
    before = time.time()
    writer.open_group(make_group(4, OPENED.key.task_id))
    writer.attempt(4, make_attempt(OPENED.key.task_id, 6))
    now = time.time() + 1
    log(
        writer.layout.records,
        *logged("t-earlier", 0, version=3, opened=before - 9),
        *logged("t-newer", 1, version=4, opened=now),
        *logged("t-first", 2, version=3, opened=now, value=0.25),
        *logged("t-again", 2, version=2, opened=now + 1, value=0.75),
        *logged("t-open", 3, version=3, opened=now)[:2],
        *logged("t-failed", 4, version=3, opened=now)[:2],
        replace(sealed("failed"), trajectory_id="t-failed"),
        *logged("t-unwanted", 5, version=3, opened=now),
        *logged("t-known", 6, version=3, opened=now),
        *logged("t-other", 60, version=3, opened=now),
    )
    keys = [replace(OPENED.key, attempt=attempt) for attempt in (0, 1, 2, 3, 4, 6, 60)]
    (attempt,) = RunReader(root).logged_attempts(keys, version=3)
    assert (attempt.episode.key.attempt, attempt.episode.outcome) == (
        2,
        Rewarded(value=0.75, components={"exact": 1.0}),
    )
    assert [turn.sampled_token_ids for turn in attempt.trajectory.turns] == [FIRST.sampled_token_ids]
    assert [a.episode.key.attempt for a in RunReader(root).logged_attempts(keys)] == [1, 2]


def test_a_failed_attempt_of_a_group_gives_way_to_one_of_the_log(writer: RunWriter, root: Path) -> None:
    writer.open_group(make_group(4, OPENED.key.task_id))
    failed = make_attempt(OPENED.key.task_id, 2)
    writer.attempt(4, replace(failed, episode=replace(failed.episode, outcome=Failed(cause="x", detail="y"))))
    log(writer.layout.records, *logged("t-first", 2, version=0, opened=time.time() + 1))
    assert len(RunReader(root).logged_attempts([replace(OPENED.key, attempt=2)])) == 1


def test_a_run_without_a_gateway_has_logged_nothing(writer: RunWriter, root: Path) -> None:
    writer.open_group(make_group(0))
    assert RunReader(root).logged_attempts([make_attempt().episode.key]) == ()
