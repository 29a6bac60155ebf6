import math
from pathlib import Path

import pytest

from rundir.attempts import make_attempt
from turnwright.core.errors import RunDirectoryError
from turnwright.rundir import RunReader, RunWriter


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
