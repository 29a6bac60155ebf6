"""What an evaluation is told, and where its result goes."""

from pathlib import Path

import pytest

from turnwright.config import resolve
from turnwright.core.errors import ConfigError
from turnwright.launch.assignment import assign
from turnwright.models.paths import resolve_model_path
from turnwright.rundir import RunLayout, RunWriter, collect_manifest
from turnwright.rundir.checkpoints import promote


@pytest.fixture
def run(tmp_path: Path) -> Path:
    root = tmp_path / "runs" / "first"
    config = resolve(None, ["environment.name=returns_desk", "evaluation.attempts=3", "environment.options.seed=5"])
    manifest = collect_manifest(name="first", seed=1)
    with RunWriter.create(root, config=config, manifest=manifest) as writer, writer.checkpoint(4) as folder:
        (folder / "config.json").write_text("{}")
    return root


def test_a_checkpoint_of_a_run_brings_its_configuration_step_and_place(run: Path) -> None:
    found = assign(str(run / "checkpoints" / "step_000004"))
    assert found.folder == run / "evaluations" / "step_000004"
    assert (found.step, found.config.evaluation.attempts, found.config.environment.options) == (4, 3, {"seed": 5})


def test_the_promoted_checkpoint_is_that_of_its_step(run: Path) -> None:
    promote(RunLayout(run), [])
    found = assign(str(run / "checkpoints" / "promoted"))
    assert (found.checkpoint, found.step) == (str(run / "checkpoints" / "step_000004"), 4)
    assert found.folder == run / "evaluations" / "step_000004"
    assert resolve_model_path(str(run / "checkpoints" / "promoted")) == found.checkpoint


def test_the_base_of_a_run_has_no_step_and_a_name_of_its_own(run: Path) -> None:
    found = assign("tiny", run=run, name="base")
    assert (found.folder, found.step, found.config.evaluation.attempts) == (run / "evaluations" / "base", None, 3)


def test_overrides_win_over_the_runs_configuration(run: Path) -> None:
    config = assign("tiny", run=run, overrides=["evaluation.attempts=2"]).config
    assert (config.evaluation.attempts, config.environment.options) == (2, {"seed": 5})


def test_a_file_replaces_the_runs_configuration(run: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "other.toml"
    recipe.write_text("[environment]\nname = 'returns_desk'\n")
    found = assign("tiny", config=recipe, run=run)
    assert (found.config.evaluation.attempts, found.folder) == (8, run / "evaluations" / "tiny")


def test_nothing_to_evaluate_on_and_nowhere_to_write_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name a run with --run or a folder with --out"):
        assign("tiny", overrides=["environment.name=returns_desk"])
    with pytest.raises(ConfigError, match=r"name a run\.toml with --config"):
        assign("tiny", out=tmp_path)
