"""Before training: a warm start and a baseline."""

import json
from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe

pytestmark = pytest.mark.slow
SHORT = ("warmstart.steps=4", "warmstart.warmup_steps=1", "warmstart.batch_size=4", "warmstart.eval_every=2")


def test_a_warm_start_learns_measures_and_says_what_it_could_not_reach(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path, small_model: Path
) -> None:
    done = turnwright("warmstart", write_recipe(), *SHORT, "--out", tmp_path / "warm")
    assert (done.code, done.err) == (0, "")
    assert [line.split(":")[0] for line in done.out.splitlines() if line.startswith("foothold")] == [
        "foothold after 2 updates",
        "foothold after 4 updates",
    ]
    learned = (tmp_path / "warm" / "model.safetensors").read_bytes()
    assert learned != (small_model / "model.safetensors").read_bytes()

    scratch = ("warmstart.from_scratch=true", "warmstart.min_foothold=0.9", "--out", tmp_path / "scratch")
    short_of_it = turnwright("warmstart", write_recipe(), *SHORT, *scratch)
    assert short_of_it.code == 1
    assert "the foothold after 4 updates is 0.0%, below warmstart.min_foothold = 0.9" in short_of_it.err
    other = (tmp_path / "scratch" / "model.safetensors").read_bytes()
    assert len(other) == len(learned)
    assert other != learned


def test_a_baseline_without_a_foothold_exits_1_and_says_what_to_do(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    done = turnwright("baseline", write_recipe(), "--tasks", 4, "--json")
    document = json.loads(done.out)
    assert (done.code, document["success"]["value"], document["num_tasks"]) == (1, 0.0, 4)
    assert document["problems"][0].startswith("no foothold")
    assert document["token_capped"] > 0.05
    assert json.loads((tmp_path / "runs" / "baseline.json").read_text()) == document


def test_a_dry_run_prints_every_value_and_the_plan_and_writes_nothing(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    done = turnwright("train", write_recipe(), "--dry-run", "algorithm.group_size=5", "rollout.fill_rounds=3")
    assert (done.code, done.err) == (0, "")
    lines = {" ".join(line.split()) for line in done.out.splitlines()}
    assert {
        "algorithm.group_size 5 override",
        "algorithm.global_batch_size 2 run.toml",
        "algorithm.loss_fn ppo default",
        "steps 2",
        "training episodes 20",
        "filling episodes 60",
        "validations 3",
        "sequence limit 1,024",
        "max turns 2",
    } <= lines
    assert not (tmp_path / "runs").exists()
