import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest

from rundir.attempts import make_attempt
from rundir.gateway_trajectory import FIRST, OPENED, reward, sealed
from turnwright.core.errors import RunDirectoryError
from turnwright.core.outcome import Rewarded
from turnwright.rundir import RunReader, RunWriter
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
    writer.attempt(1, make_attempt("a"))
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


def log(folder: Path, *records: GatewayRecord) -> None:
    async def append() -> None:
        opened = RecordLog(folder)
        for record in records:
            await opened.append(record)
        await opened.close()

    asyncio.run(append())


def logged(trajectory_id: str, attempt: int, *, version: int, opened: float, value: float = 1.0) -> list[GatewayRecord]:
    """The records of a rewarded trajectory of one turn."""
    turn = replace(FIRST, policy_versions=(version, version))
    key = replace(OPENED.key, attempt=attempt)
    records = (replace(OPENED, key=key, time=opened), turn, sealed(), reward(value))
    return [replace(record, trajectory_id=trajectory_id) for record in records]


def test_the_gateways_log_gives_the_attempts_that_the_policy_of_the_checkpoint_sampled(
    writer: RunWriter, root: Path
) -> None:
    writer.metrics(3, {})
    (saved,) = (line["time"] for line in RunReader(root).metrics())
    log(
        writer.layout.records,
        *logged("t-earlier", 0, version=3, opened=saved - 9),
        *logged("t-stale", 1, version=2, opened=saved + 1),
        *logged("t-first", 2, version=3, opened=saved + 1, value=0.25),
        *logged("t-again", 2, version=3, opened=saved + 2, value=0.75),
        *logged("t-open", 3, version=3, opened=saved + 2)[:2],
        *logged("t-failed", 4, version=3, opened=saved + 2)[:2],
        replace(sealed("failed"), trajectory_id="t-failed"),
    )
    (attempt,) = RunReader(root).logged_attempts(4)
    assert (attempt.episode.key.attempt, attempt.episode.outcome) == (
        2,
        Rewarded(value=0.75, components={"exact": 1.0}),
    )
    assert [turn.sampled_token_ids for turn in attempt.trajectory.turns] == [FIRST.sampled_token_ids]
    assert [a.episode.key.attempt for a in RunReader(root).logged_attempts(3)] == [1]


def test_a_run_without_a_gateway_has_logged_nothing(writer: RunWriter, root: Path) -> None:
    writer.metrics(0, {})
    assert RunReader(root).logged_attempts(1) == ()
