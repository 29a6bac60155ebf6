import json
from pathlib import Path

import pytest

from cli.conftest import Command
from turnwright import api
from turnwright.config import resolve_values
from turnwright.rundir import RunWriter, collect_manifest
from turnwright.rundir.records import Phase


def make_run(root: Path, state: Phase, message: str = "") -> Path:
    config = resolve_values({"environment": {"name": "orders"}}, source="run.toml")
    with RunWriter.create(root, config=config, manifest=collect_manifest(name=root.name, seed=7)) as writer:
        for step, reward in ((0, 0.25), (1, 0.5), (2, float("nan"))):
            writer.metrics(step, {"val/reward/mean": reward, "timing_s/step": 3.0})
        writer.status(state, 2, message=message)
    return root


def test_a_finished_run_is_told_step_by_step(turnwright: Command, tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", "finished")
    result = turnwright("watch", run)
    assert result.code == 0
    assert result.out.splitlines() == [
        "demo: finished, step 2/2",
        "step 0/2  3.0 s/step  val reward 0.250",
        "step 1/2  3.0 s/step  val reward 0.500",
        "step 2/2  3.0 s/step  val reward nan",
        "finished at step 2",
        "next:",
        f"  turnwright report {run}",
    ]


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_the_exit_code_says_how_the_run_ended(turnwright: Command, tmp_path: Path, state: Phase) -> None:
    run = make_run(tmp_path / "demo", state, message="OSError(28, 'No space left on device')")
    result = turnwright("watch", run)
    assert result.code == 1
    assert f"{state} at step 2: OSError(28, 'No space left on device')" in result.out
    assert turnwright("watch", run, "--once").code == 0


def test_once_prints_one_picture_of_a_run_that_goes_on(turnwright: Command, tmp_path: Path) -> None:
    config = resolve_values({"environment": {"name": "orders"}, "schedule": {"max_steps": 5}}, source="run.toml")
    manifest = collect_manifest(name="demo", seed=7)
    with RunWriter.create(tmp_path / "demo", config=config, manifest=manifest) as writer:
        writer.status("rollout", 1)
        result = turnwright("watch", tmp_path / "demo", "--once")
    assert (result.code, result.out.splitlines()[0]) == (0, "run         rollout, step 1 of at most 5")


def test_json_is_one_object(turnwright: Command, tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", "finished")
    document = json.loads(turnwright("watch", run, "--json").out)
    assert {key: document[key] for key in ("name", "state", "step", "num_steps", "is_over", "lights")} == {
        "name": "demo",
        "state": "finished",
        "step": 2,
        "num_steps": 2,
        "is_over": True,
        "lights": [],
    }
    assert document["recent"]["validations"] == [{"step": 0, "value": 0.25}, {"step": 1, "value": 0.5}]
    assert document["last_metrics"]["val/reward/mean"] is None
    assert "metrics" not in document


def test_the_python_function_returns_the_last_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = api.watch(make_run(tmp_path / "demo", "finished"), show=False)
    assert (picture.state, picture.recent.step, capsys.readouterr().out) == ("finished", 2, "")
    assert api.watch(picture.path, once=True).step == 2
    assert "finished, step 2/2" in capsys.readouterr().out


def test_nothing_is_written(turnwright: Command, tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", "finished")
    before = {path: path.lstat().st_mtime_ns for path in run.rglob("*")}
    turnwright("watch", run)
    assert {path: path.lstat().st_mtime_ns for path in run.rglob("*")} == before


def test_what_is_no_run_is_one_clean_message(turnwright: Command, tmp_path: Path) -> None:
    result = turnwright("watch", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: no run ")
