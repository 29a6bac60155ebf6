"""A policy trains on tools that ask PostgreSQL: to the same bits as on the same tools in memory."""

import math
from pathlib import Path

import pytest

from services import desk
from services.asking import ask, schemas, sessions
from system.conftest import Turnwright
from turnwright.core.outcome import Failed
from turnwright.rundir import RunReader

pytestmark = pytest.mark.services

RECIPE = """
[environment]
name = "{environment}"
options = {{train_tasks = 120, validation_tasks = 120, test_tasks = 120}}

[run]
output_dir = "{runs}"
seed = 1
deterministic = true

[model]
path = "tiny"

[algorithm]
group_size = 4
global_batch_size = 8

[sampling]
temperature = 1.2
sampling_max_tokens = 48
max_turns = 8
max_sequence_length = 896

[optimizer]
learning_rate = 4e-4

[schedule]
max_steps = 3
val_every = 3

[validation]
val_tasks = 8

[inference]
kv_memory_mb = 128
"""
STEPS = (1, 2, 3)


def train(turnwright: Turnwright, folder: Path, environment: str, name: str, *, said: str = "") -> RunReader:
    recipe = folder / "run.toml"
    recipe.write_text(RECIPE.format(environment=environment, runs=folder / "runs"))
    done = turnwright("train", recipe, f"run.name={name}")
    assert done.code == 0, done.err
    assert done.err == (f"removed what killed runs left behind: {said}\n" if said else "")
    return RunReader(folder / "runs" / name)


def test_a_run_on_postgres_equals_the_run_in_memory(
    postgres_dsn: str, child_environment: dict[str, str], tmp_path: Path
) -> None:
    variables = {**child_environment, "OMP_NUM_THREADS": "1", "DESK_DSN": postgres_dsn}
    turnwright = Turnwright(folder=tmp_path, environment=variables)
    left = "turnwright_episode_0123456789abcdef"  # as a killed run leaves it
    ask(postgres_dsn, f"CREATE SCHEMA {left}")
    asked = train(turnwright, tmp_path, f"{desk.__file__}:PostgresDesk", "asked", said=left)
    assert (schemas(postgres_dsn), sessions(postgres_dsn)) == ([], 0)

    trained = [trajectory for step in STEPS for trajectory in asked.trajectories(step)]
    assert len(trained) > len(STEPS) * 8
    metrics = list(asked.metrics())
    assert len(metrics) >= len(STEPS)
    assert all(math.isfinite(value) for record in metrics for value in record.values())
    assert any(record.get("rollout/tools/calls", 0) > 0 for record in metrics)
    played = [episode for step in asked.episode_steps() for episode in asked.episodes(step)]
    assert played
    assert not any(isinstance(episode.outcome, Failed) for episode in played)

    remembered = train(turnwright, tmp_path, "returns_desk", "remembered")
    for step in STEPS:
        one, other = (
            sorted(run.trajectories(step), key=lambda trajectory: str(trajectory.key)) for run in (asked, remembered)
        )
        assert one == other
    one, other = ((run.checkpoints()[-1].path / "model.safetensors").read_bytes() for run in (asked, remembered))
    assert one == other
