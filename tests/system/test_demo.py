"""The demo, much too short to show a gain: it tells its story, leaves its numbers, and says that it failed."""

import json
from pathlib import Path

import pytest

from system.conftest import Turnwright

DEMO = Path(__file__).parents[2] / "examples" / "returns_desk" / "demo.py"
SHORT = (
    "algorithm.group_size=4",
    "algorithm.global_batch_size=2",
    "optimizer.warmup_steps=0",
    "schedule.max_steps=1",
    "validation.val_tasks=2",
    "evaluation.tasks=4",
    "evaluation.attempts=1",
    "evaluation.resamples=100",
    "warmstart.steps=21",
    "warmstart.batch_size=2",
)
CONTRACT = (
    "seed",
    "num_tasks",
    "base_success",
    "tuned_success",
    "difference",
    "difference_low",
    "difference_high",
    "greedy_difference",
    "greedy_difference_low",
    "base_field_accuracy",
    "tuned_field_accuracy",
    "wall_seconds",
    "steps",
    "report",
)
pytestmark = pytest.mark.runs


def test_the_demo_leaves_its_numbers_and_exits_1_when_no_gain_is_shown(turnwright: Turnwright) -> None:
    earlier = turnwright.folder / "runs" / "demo" / "precious"
    earlier.mkdir(parents=True)
    done = turnwright.python(DEMO, "--seed", 2, *SHORT)
    assert done.code == 1, done.err
    assert done.out.count("\n[") == 6
    assert "The gain is NOT shown:\n  success after training is " in done.out
    demo = turnwright.folder / "runs" / "demo"
    summary = json.loads((demo / "summary.json").read_text())
    assert tuple(summary) == CONTRACT
    assert (summary["seed"], summary["num_tasks"], summary["steps"]) == (2, 4, 1)
    assert (turnwright.folder / summary["report"]).is_file()
    assert {path.name for path in (demo / "rl" / "evaluations").iterdir()} == {"base", "tuned"}
    assert (turnwright.folder / "runs" / "demo-1" / "precious").is_dir()
