"""The Python surface: jobs and evaluations in processes of their own."""

from pathlib import Path

import pytest

from system.conftest import WriteRecipe
from system.worlds import Talk
from turnwright import Job, MultiTurnRLEvaluator, MultiTurnRLTrainer
from turnwright.core.errors import ConfigError, TurnwrightError

pytestmark = pytest.mark.slow


def test_a_trainer_trains_and_an_evaluator_compares_with_the_base(
    write_recipe: WriteRecipe, small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = MultiTurnRLTrainer(
        model=small_model,
        agent_env=Talk,
        recipe=write_recipe(),
        overrides={"environment.options": {}},
        output_path=tmp_path / "jobs",
        base_job_name="talk",
    )
    trainer.hyperparameters.max_steps = 1
    job = trainer.train()
    assert job is not None
    assert (job.job_status, job.failure_reason) == ("Completed", "")
    assert job.job_name.startswith("talk-")
    assert [record["step"] for record in job.get_training_metrics()] == [0, 1]
    assert "step 1/1" in capsys.readouterr().out

    execution = MultiTurnRLEvaluator(model=trainer, dataset="validation", evaluate_base_model=True).evaluate()
    execution.show_results()
    shown = capsys.readouterr().out
    assert execution.result.split == "validation"
    assert execution.comparison is not None
    assert (execution.output_path / "result.json").is_file()
    assert shown.count("success (greedy)") == 3
    assert "verdict:" in shown

    found = Job.get(job.job_name, tmp_path / "jobs")
    assert (found.job_status, found.checkpoint, found.base_model) == ("Completed", job.checkpoint, str(small_model))


def test_a_job_can_be_stopped_and_a_failed_one_says_why(
    write_recipe: WriteRecipe, small_model: Path, tmp_path: Path
) -> None:
    def trainer(world: str, **options: float) -> MultiTurnRLTrainer:
        recipe = write_recipe(world)
        return MultiTurnRLTrainer(
            model=small_model,
            agent_env=f"{Path(__file__).with_name('worlds.py')}:{world}",
            recipe=recipe,
            overrides={"environment.options": options, "max_steps": 500, "max_epochs": None},
            output_path=tmp_path / "jobs",
        )

    job = trainer("Talk", pause=0.02).train(wait=False)
    assert job is not None
    while len(job.refresh().get_training_metrics()) < 2:
        assert job.job_status == "InProgress"
    Job.get(job.job_name, tmp_path / "jobs").stop()
    assert job.wait(poll=0.2, show=False).job_status == "Stopped"
    with pytest.raises(ConfigError, match="RaisingStart cannot open task"):
        trainer("RaisingStart").train()
    with pytest.raises(TurnwrightError, match="no replies to divide by"):
        trainer("RaisingReward").train()
