"""Whole runs whose engine has a process of its own: the same numbers, and no run waits for an engine that is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe
from system.test_asynchronous import ASYNCHRONOUS, require_whole
from system.test_training import comparable_metrics, weights
from turnwright.rundir import RunReader

pytestmark = pytest.mark.runs
PROCESS = "inference.placement=process"


def worker_of(parent: int) -> int:
    """Return the only child of a process that is an engine."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (found,) = (int(pid) for pid in children if b"inference.worker" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return found


def test_a_deterministic_run_gives_the_same_bits_wherever_its_engine_is(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe()
    for name, placement in (("here", "inference.placement=shared"), ("there", PROCESS)):
        done = turnwright("train", recipe, f"run.name={name}", "run.deterministic=true", placement)
        assert (done.code, done.err) == (0, "")
    here, there = tmp_path / "runs" / "here", tmp_path / "runs" / "there"
    assert comparable_metrics(here) == comparable_metrics(there)
    assert weights(here) == weights(there)


def test_a_killed_engine_ends_the_run_by_name_and_the_run_goes_on_with_another(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe("Uneven", options="{longest = 0.2}")
    settings = (*ASYNCHRONOUS, "run.name=run", PROCESS, "schedule.save_every=0")
    command = [sys.executable, "-m", "turnwright.cli", "train", str(recipe), *settings]
    with subprocess.Popen(
        command, env=turnwright.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("step 2/6" in line for line in process.stdout)
        worker = worker_of(process.pid)
        os.kill(worker, signal.SIGKILL)
        _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"the engine's process {worker} ended with exit code -9 (SIGKILL)" in error
    resumed = turnwright("train", "--resume", tmp_path / "runs" / "run")
    assert (resumed.code, resumed.err) == (0, "")
    require_whole(RunReader(tmp_path / "runs" / "run"), steps=6)
