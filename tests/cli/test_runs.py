import json
from pathlib import Path

import pytest

from cli.conftest import Command
from turnwright.config import resolve_values
from turnwright.core.finding import Finding
from turnwright.rundir import RunLayout, RunReader, RunWriter, collect_manifest
from turnwright.rundir.checkpoints import promote


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    config = resolve_values({"environment": {"name": "orders"}}, source="run.toml")
    root = tmp_path / "runs" / "first"
    with RunWriter.create(root, config=config, manifest=collect_manifest(name="first", seed=7)) as writer:
        for step, reward in ((0, 0.25), (1, 0.5)):
            writer.metrics(step, {"val/reward/mean": reward, "timing_s/step": 3.0})
            with writer.checkpoint(step) as folder:
                (folder / "model.safetensors").write_bytes(b"x" * 2000)
        writer.finding(Finding(code="reward.flat", severity="warning", where="step 1", evidence="flat", cure="wait"))
        writer.status("finished", 1)
    return root.parent


def test_list_shows_each_run_on_a_line(turnwright: Command, runs: Path) -> None:
    result = turnwright("runs", "list", "--dir", runs)
    header, line = result.out.splitlines()
    assert header.split() == ["run", "state", "step", "checkpoints", "size", "created"]
    assert line.split()[:4] == ["first", "finished", "1", "2"]
    (run,) = json.loads(turnwright("runs", "list", "--dir", runs, "--json").out)
    assert (run["name"], run["state"], run["num_checkpoints"]) == ("first", "finished", 2)


def test_list_of_an_empty_folder_says_what_to_do(turnwright: Command, tmp_path: Path) -> None:
    result = turnwright("runs", "list", "--dir", tmp_path)
    assert (result.code, "turnwright train" in result.out) == (0, True)
    assert json.loads(turnwright("runs", "list", "--dir", tmp_path, "--json").out) == []


def test_show_tells_state_findings_and_where_the_numbers_went(turnwright: Command, runs: Path) -> None:
    out = turnwright("runs", "show", "first", "--dir", runs).out
    assert "first: finished at step 1" in out
    assert "seed 7" in out
    assert "warning reward.flat (step 1): flat; wait" in out
    assert out.splitlines()[-1].split() == ["val/reward/mean", "0.25", "0.5"]
    document = json.loads(turnwright("runs", "show", runs / "first", "--json").out)
    assert (document["manifest"]["seed"], document["last_metrics"]["step"]) == (7, 1)
    assert [Path(path).name for path in document["checkpoints"]] == ["step_000000", "step_000001"]
    assert document["promoted"] is None


def test_show_names_the_promoted_checkpoint_and_what_is_broken(turnwright: Command, runs: Path) -> None:
    layout = RunLayout(runs / "first")
    promote(layout, RunReader(layout.root).metrics())
    (layout.checkpoint(0) / "model.safetensors").unlink()
    lines = turnwright("runs", "show", "first", "--dir", runs).out.splitlines()
    first, problem, second = [line for line in lines if str(layout.checkpoints) in line]
    assert first == f"checkpoint {layout.checkpoint(0)}"
    assert problem.startswith(f"  '{layout.checkpoint(0) / 'model.safetensors'}' is missing; copy 'step_000000' back")
    assert second == f"checkpoint {layout.checkpoint(1)}  promoted"
    document = json.loads(turnwright("runs", "show", runs / "first", "--json").out)
    assert Path(document["promoted"]).name == "step_000001"


def test_show_tells_the_domains_of_a_mixture_apart(turnwright: Command, tmp_path: Path) -> None:
    members = {"a": {"name": "procedures"}, "b": {"name": "returns_desk", "weight": 2.0}}
    config = resolve_values({"environment": {"mixture": members}}, source="run.toml")
    manifest = collect_manifest(name="mixed", seed=7)
    with RunWriter.create(tmp_path / "mixed", config=config, manifest=manifest) as writer:
        metrics = {
            "rollout/reward/mean": 0.5,
            "a/rollout/reward/mean": 0.25,
            "a/rollout/groups": 3.0,
            "a/val/turns/max": 9.0,
        }
        writer.metrics(1, metrics)
    out = turnwright("runs", "show", tmp_path / "mixed").out
    rows = [line.split()[0] for line in out.splitlines()]
    assert rows[-3:] == ["rollout/reward/mean", "a/rollout/reward/mean", "a/rollout/groups"]


def test_prune_says_first_and_deletes_after(turnwright: Command, runs: Path) -> None:
    folders = runs / "first" / "checkpoints"
    assert "would delete" in turnwright("runs", "prune", "first", "--dir", runs, "--dry-run").out
    assert len(list(folders.iterdir())) == 2
    assert "freed 2.4 kB" in turnwright("runs", "prune", "first", "--dir", runs).out
    assert [path.name for path in folders.iterdir()] == ["step_000001"]
    assert "nothing to delete" in turnwright("runs", "prune", "first", "--dir", runs).out


def test_an_unknown_run_is_one_clean_message(turnwright: Command, runs: Path) -> None:
    result = turnwright("runs", "show", "frist", "--dir", runs)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: no run 'frist'")
    assert "did you mean first?" in result.err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlflow_is_shown_what_it_missed_and_all_of_it_anew(turnwright: Command, runs: Path) -> None:
    pytest.importorskip("mlflow")
    first = turnwright("runs", "mlflow", "first", "--dir", runs).out
    assert first.startswith("2 steps were missing at sqlite:///")
    assert turnwright("runs", "mlflow", "first", "--dir", runs).out.startswith("0 steps were missing")
    assert "is made anew" in turnwright("runs", "mlflow", "first", "--dir", runs, "--rebuild").out
    assert turnwright("runs", "mlflow", "first", "--dir", runs).out.startswith("0 steps were missing")


def test_mlflow_that_is_away_or_a_run_that_is_written_is_one_clean_message(turnwright: Command, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    tracking = {"mlflow": True, "mlflow_uri": "http://127.0.0.1:1"}
    config = resolve_values({"environment": {"name": "orders"}, "tracking": tracking}, source="run.toml")
    root = tmp_path / "first"
    with RunWriter.create(root, config=config, manifest=collect_manifest(name="first", seed=7)):
        result = turnwright("runs", "mlflow", root)
        assert (result.code, "is being written" in result.err) == (2, True)
    result = turnwright("runs", "mlflow", root)
    assert (result.code, result.out) == (1, "")
    assert "nothing answers at http://127.0.0.1:1" in result.err
    assert "start the server of tracking.mlflow_uri" in result.err
