"""Training runs through the command line: to the end, twice, interrupted and resumed."""

import json
from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe
from turnwright.rundir import RunLayout, RunReader
from turnwright.rundir.checkpoints import promoted
from turnwright.rundir.layout import step_of

pytestmark = pytest.mark.slow
UNEQUAL = ("timing_s/", "busy_s/", "cost/", "time", "training/peak_memory_mb")
"""What two equal runs may differ in."""


def comparable_metrics(run: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in record.items() if not name.startswith(UNEQUAL)}
        for record in RunReader(run).metrics()
    ]


def weights(run: Path) -> bytes:
    return (RunReader(run).checkpoints()[-1].path / "model.safetensors").read_bytes()


def test_a_run_trains_is_evaluated_compared_and_reported(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path, small_model: Path
) -> None:
    trained = turnwright("train", write_recipe(), "run.name=first")
    assert (trained.code, trained.err) == (0, "")
    lines = trained.out.splitlines()
    run = tmp_path / "runs" / "first"
    assert lines[0] == f"run directory: {run}"
    assert f"  turnwright report {run}" == lines[-1]
    assert [record["step"] for record in RunReader(run).metrics()] == [0, 1, 2]
    status = RunReader(run).status()
    assert status is not None
    assert (status.phase, status.step) == ("finished", 2)

    # What it says to do next is what one does next.
    for line in lines[lines.index("next:") + 1 :]:
        done = turnwright(*line.split()[1:])
        assert (done.code, done.err) == (0, ""), line
    base, tuned = (json.loads((run / "evaluations" / name / "result.json").read_text()) for name in ("base", "tuned"))
    deployed = promoted(RunLayout(run))
    assert deployed is not None
    assert (base["step"], tuned["step"], tuned["checkpoint"]) == (None, step_of(deployed), str(deployed))
    assert base["checkpoint"] == str(small_model)
    assert base["tasks_hash"] == tuned["tasks_hash"]
    assert (run / "report.html").stat().st_size > 10_000

    again = turnwright("train", "--resume", run)
    assert again.code == 2
    assert "is complete (2 steps)" in again.err


def test_the_same_seed_gives_the_same_bits_also_across_an_interruption(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    settings = ("run.deterministic=true", "schedule.max_steps=4")
    for name in ("first", "second"):
        assert turnwright("train", write_recipe(), f"run.name={name}", *settings).code == 0
    slow = write_recipe(options="{pause = 0.05}")
    stopped = turnwright.interrupt("train", slow, "run.name=third", *settings, after="step 2/4")
    third = tmp_path / "runs" / "third"
    assert stopped.code == 130
    assert f"turnwright train --resume {third}" in stopped.out
    status = RunReader(third).status()
    assert status is not None
    assert status.phase == "stopped"
    done = max(int(record["step"]) for record in RunReader(third).metrics())
    resumed = turnwright("train", "--resume", third)
    assert (resumed.code, resumed.err) == (0, "")
    assert f"step {done + 1}/4" in resumed.out
    assert f"step {done}/4" not in resumed.out

    first, second = tmp_path / "runs" / "first", tmp_path / "runs" / "second"
    for other in (second, third):
        assert comparable_metrics(other) == comparable_metrics(first)
        assert weights(other) == weights(first)
        for step in range(1, 5):
            assert sorted(RunReader(other).trajectories(step), key=lambda found: str(found.key)) == sorted(
                RunReader(first).trajectories(step), key=lambda found: str(found.key)
            )


def test_another_seed_gives_another_run(turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    for seed in (1, 2):
        done = turnwright("train", write_recipe(), f"run.name=seed-{seed}", f"run.seed={seed}", "schedule.max_steps=1")
        assert done.code == 0
    assert weights(tmp_path / "runs" / "seed-1") != weights(tmp_path / "runs" / "seed-2")


def test_mlflow_shows_metrics_and_the_episodes_of_training_and_validation(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    settings = ("tracking.mlflow=true", "tracking.traces_per_step=3", "schedule.max_steps=1")
    done = turnwright("train", write_recipe(), "run.name=seen", *settings)
    assert done.code == 0, done.err
    count = (
        "import sys; from mlflow.tracking import MlflowClient; client = MlflowClient(tracking_uri=sys.argv[1]);"
        "experiment = client.get_experiment_by_name('turnwright');"
        "print([trace.info.tags['kind'] for trace in client.search_traces([experiment.experiment_id], max_results=99)])"
    )
    uri = f"sqlite:///{tmp_path / 'runs' / 'seen' / 'mlflow.db'}"
    kinds = turnwright.python("-c", count, uri).out
    assert (kinds.count("training"), kinds.count("validation")) == (3, 8)
