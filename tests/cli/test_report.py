from pathlib import Path

import pytest

from cli.conftest import Command
from turnwright.config import resolve
from turnwright.rundir import RunWriter, collect_manifest


@pytest.fixture
def run(tmp_path: Path) -> Path:
    config = resolve(None, ["environment.name=returns_desk"])
    root = tmp_path / "runs" / "first"
    with RunWriter.create(root, config=config, manifest=collect_manifest(name="first", seed=7)) as writer:
        writer.metrics(1, {"rollout/reward/mean": 0.5})
    return root


def test_the_report_is_written_into_the_run_and_its_path_printed(turnwright: Command, run: Path) -> None:
    result = turnwright("report", run)
    assert (result.code, result.out) == (0, f"{run / 'report.html'}\n")
    assert "No verdict" in (run / "report.html").read_text()


def test_the_report_goes_where_asked(turnwright: Command, run: Path, tmp_path: Path) -> None:
    assert turnwright("report", run, "--out", tmp_path / "first.html").code == 0
    assert (tmp_path / "first.html").is_file()
    assert not (run / "report.html").exists()


def test_a_run_that_does_not_exist_is_bad_input(turnwright: Command) -> None:
    result = turnwright("report", "absent")
    assert result.code == 2
    assert "no run 'absent'" in result.err
