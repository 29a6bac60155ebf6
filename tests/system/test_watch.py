"""A real run, watched from its directory: its time adds up, and a watcher ends with it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe
from turnwright.core.timeline import METRICS
from turnwright.rundir import RunReader

pytestmark = pytest.mark.runs


@pytest.mark.parametrize("steps_off_policy", [0, 2])
def test_the_time_of_all_steps_adds_up_to_the_wall_time(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path, steps_off_policy: int
) -> None:
    recipe = write_recipe("Uneven", options="{longest = 0.4}")
    settings = (
        f"async_config.max_steps_off_policy={steps_off_policy}",
        "schedule.max_steps=5",
        "schedule.save_every=2",
    )
    assert turnwright("train", recipe, "run.name=run", *settings).code == 0
    records = RunReader(tmp_path / "runs" / "run").metrics()
    for record in records:
        assert sum(record[name] for name in METRICS.values()) == pytest.approx(record["timing_s/step"])
    wall = records[-1]["time"] - records[0]["time"]
    assert sum(record["timing_s/step"] for record in records[1:]) == pytest.approx(wall, rel=0.02)
    assert records[0]["timing_s/eval"] > 0.9 * records[0]["timing_s/step"]
    for name in ("generation", "tools", "training"):
        assert sum(record[f"timing_s/{name}"] for record in records) > 0
    if not steps_off_policy:
        assert sum(record["busy_s/overlap"] for record in records) == 0

    seen = json.loads(turnwright("watch", "run", "--json").out)
    assert (seen["state"], seen["step"], seen["num_steps"]) == ("finished", 5, 5)
    assert seen["staleness_bound"] == steps_off_policy
    assert sum(seen["recent"]["time_shares"].values()) == pytest.approx(1.0)


def test_a_watcher_follows_a_run_that_is_killed_and_resumed_to_its_end(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe("Uneven", options="{longest = 0.2}")
    arguments = ("train", recipe, "run.name=run", "schedule.max_steps=4")
    turnwright.interrupt(*arguments, after="step 2/4", number=signal.SIGKILL)
    watcher = subprocess.Popen(
        [sys.executable, "-u", "-m", "turnwright.cli", "watch", "run"],
        cwd=tmp_path,
        env=turnwright.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    heard: list[str] = []
    while "no process writes the run" not in (heard or [""])[-1]:
        heard.append(next(watcher.stdout))
    assert turnwright("train", "--resume", "run").code == 0
    out, _ = watcher.communicate(timeout=60)
    lines = "".join([*heard, out]).splitlines()
    assert watcher.returncode == 0
    assert [line.split()[1] for line in lines if line.startswith("step ") and "/4 " in line] == [
        f"{step}/4" for step in range(5)
    ]
    assert [line for line in lines if line.startswith("resumed by process 2, reported up to step ")]
    assert lines[-3:] == ["finished at step 4", "next:", "  turnwright report runs/run"]
