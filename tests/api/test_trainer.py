"""The trainer and the evaluator refuse what they could not honour, before anything is spent."""

from pathlib import Path
from typing import Any

import pytest

from turnwright import Job, MultiTurnRLEvaluator, MultiTurnRLTrainer
from turnwright.api.trainer import INSTEAD
from turnwright.core.errors import ConfigError, RunDirectoryError


def make_trainer(**arguments: Any) -> MultiTurnRLTrainer:
    return MultiTurnRLTrainer(**{"model": "tiny", "agent_env": "returns_desk", **arguments})


def test_a_dry_run_checks_and_spends_nothing(tmp_path: Path) -> None:
    trainer = make_trainer(output_path=tmp_path / "runs")
    assert trainer.train(dry_run=True) is None
    assert not (tmp_path / "runs").exists()
    trainer.hyperparameters.updates_per_step = 64
    with pytest.raises(ConfigError, match="updates_per_step = 64 is more than"):
        trainer.train(dry_run=True)


@pytest.mark.parametrize("argument", sorted(INSTEAD))
def test_an_argument_that_means_nothing_here_is_refused_with_what_to_do(argument: str) -> None:
    with pytest.raises(ConfigError, match=f"{argument}=.*has no meaning on this machine: ."):
        make_trainer(**{argument: "x"})
    with pytest.raises(ConfigError, match="MultiTurnRLEvaluator"):
        MultiTurnRLEvaluator("tiny", **{argument: "x"})


def test_a_misspelt_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'modle'"):
        make_trainer(modle="x")


@pytest.mark.parametrize("argument", ["training_dataset", "validation_dataset"])
def test_a_dataset_other_than_the_environments_is_refused(argument: str) -> None:
    make_trainer(training_dataset="train", validation_dataset="validation")
    with pytest.raises(ConfigError, match=r"tasks\(split\) read them"):
        make_trainer(**{argument: "s3://bucket/tasks.jsonl"})
    with pytest.raises(ConfigError, match="expected a split"):
        MultiTurnRLEvaluator("tiny", dataset="s3://bucket/tasks.jsonl")


def test_a_recipe_with_a_mixture_names_its_environments_itself(tmp_path: Path) -> None:
    recipe = tmp_path / "run.toml"
    recipe.write_text("[environment.mixture.a]\nname = 'procedures'\n[environment.mixture.b]\nname = 'returns_desk'\n")
    trainer = make_trainer(agent_env=None, recipe=recipe)
    assert trainer.hyperparameters.resolve().config.environment.title == "mixture of a and b"
    with pytest.raises(ConfigError, match="exclude each other"):
        make_trainer(recipe=recipe)
    with pytest.raises(ConfigError, match=r"environment\.name"):
        make_trainer(agent_env=None)


def test_overrides_are_taken_by_name_by_key_and_as_text() -> None:
    by_name = make_trainer(overrides={"group_size": 4, "evaluation.attempts": 2})
    assert by_name.hyperparameters.resolve().config.evaluation.attempts == 2
    as_text = make_trainer(overrides=["algorithm.group_size=4"], mlflow_experiment_name="desk")
    assert by_name.hyperparameters.group_size == as_text.hyperparameters.group_size == 4
    tracking = as_text.hyperparameters.resolve().config.tracking
    assert (tracking.mlflow, tracking.mlflow_experiment) == (True, "desk")


def test_a_base_is_evaluated_only_where_one_is_known() -> None:
    with pytest.raises(ConfigError, match="a checkpoint alone has no base"):
        MultiTurnRLEvaluator("tiny", agent_env="returns_desk", evaluate_base_model=True)
    with pytest.raises(ConfigError, match=r"call train\(\) before"):
        MultiTurnRLEvaluator(make_trainer()).evaluate()


def test_a_job_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no run 'absent'"):
        Job.get("absent", tmp_path)
