"""Runs that fill their batches: more of what they train on carries signal, and a crash changes nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed
from turnwright.rundir import RunReader

pytestmark = pytest.mark.slow
SETTINGS = ("algorithm.global_batch_size=3", "schedule.max_steps=3", "schedule.val_every=0", "rollout.fill_rounds=2")
UNEQUAL = ("timing_s/", "busy_s/", "cost/", "time", "training/peak_memory_mb")
"""What two equal runs may differ in."""


def comparable(run: RunReader) -> list[dict[str, float]]:
    return [{name: value for name, value in record.items() if not name.startswith(UNEQUAL)} for record in run.metrics()]


def weights(run: RunReader) -> bytes:
    return (run.checkpoints()[-1].path / "model.safetensors").read_bytes()


def test_hopeless_groups_make_room_and_an_interrupted_run_is_dealt_the_same_again(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe("MostlyHopeless")
    for name, settings in (("plain", SETTINGS[:-1]), ("whole", SETTINGS)):
        done = turnwright("train", recipe, f"run.name={name}", "run.deterministic=true", *settings)
        assert (done.code, done.err) == (0, ""), done.err
    assert " replaced" in done.out
    cut = turnwright.interrupt("train", recipe, "run.name=cut", "run.deterministic=true", *SETTINGS, after="step 1/3")
    assert cut.code == 130
    plain, whole, second = (RunReader(tmp_path / "runs" / name) for name in ("plain", "whole", "cut"))
    assert max(record["step"] for record in second.metrics()) < 3
    resumed = turnwright("train", "--resume", tmp_path / "runs" / "cut")
    assert (resumed.code, resumed.err) == (0, "")
    # Step 1 took more than its own groups, so step 2 could not know its place by its number.
    assert any(group.round for group in whole.batches()[0].groups)
    assert second.batches() == whole.batches()
    assert comparable(second) == comparable(whole)
    assert weights(second) == weights(whole)

    live = [sum(record["analysis/live_groups"] for record in run.metrics()) for run in (plain, whole)]
    assert live[1] > live[0]
    assert {group.fate for batch in plain.batches() for group in batch.groups} == {"trained"}
    assert not any(name.startswith("rollout/fill") for name in plain.metrics()[-1])
    require_costs_told(whole)


def require_costs_told(run: RunReader) -> None:
    """Compare each step's metrics with what is on disk of it."""
    dealt = []
    for record, batch in zip(run.metrics(), run.batches(), strict=True):
        left = [group for group in batch.groups if group.fate == "no_signal"]
        dealt += [(group.task, group.epoch) for group in batch.groups]
        episodes = list(run.episodes(batch.step))
        assert len(batch.groups) - len(left) == record["training/num_groups"] == 3
        assert len(episodes) == 4 * len(batch.groups)
        wasted = [one for one in episodes if one.task.id in {group.task for group in left}]
        assert record["rollout/fill/groups"] == len(left)
        assert record["rollout/fill/tokens"] == sum(turn.num_sampled_tokens for one in wasted for turn in one.turns)
        assert record["rollout/fill/rounds"] == max(group.round for group in batch.groups)
        assert all(one.outcome.value == 0.0 for one in wasted if not isinstance(one.outcome, Failed))
        assert record["training/delivered_fraction"] == 1.0
        assert record["cost/trained_tokens"] + record["rollout/fill/tokens"] == record["cost/sampled_tokens"]
        assert record["training/num_trajectories"] == 12
    assert len(dealt) == len(set(dealt)) > 9


def test_a_run_killed_while_it_fills_makes_no_attempt_again(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe("MostlyHopeless", options="{ pause = 0.1 }")
    command = [sys.executable, "-m", "turnwright.cli", "train", str(recipe), "run.name=killed", *SETTINGS]
    command += ["schedule.max_steps=1", "rollout.rollout_max_concurrency=2"]
    process = subprocess.Popen(command, cwd=tmp_path, env=turnwright.environment, stdout=subprocess.DEVNULL)
    root = tmp_path / "runs" / "killed"
    while process.poll() is None and len(list(ended(root))) < 14:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {attempt.episode.key: attempt for attempt in ended(root)}
    assert len(before) >= 14, "the step's own twelve, and some of its first round of filling"
    resumed = turnwright("train", "--resume", root)
    assert (resumed.code, resumed.err) == (0, "")
    after = {attempt.episode.key: attempt for attempt in RunReader(root).attempts(1)}
    assert len(after) > len(before)
    assert {key: after[key] for key in before} == before
    (batch,) = RunReader(root).batches()
    assert {key.task_id for key in after} == {group.task for group in batch.groups}


def ended(root: Path) -> list[Attempt]:
    """What has ended of the open groups."""
    groups = RunReader(root).open_groups() if (root / "manifest.json").is_file() else ()
    return [attempt for group in groups for attempt in group.attempts]


def test_attempts_that_repeat_themselves_are_left_out_and_too_many_stop_the_run(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    # Cold enough for random weights to stutter now and then.
    settings = (*SETTINGS[:-1], "schedule.max_steps=1", "sampling.temperature=0.3", "algorithm.max_repeated_tokens=3")
    done = turnwright("train", write_recipe(), "run.name=some", *settings, "algorithm.max_filter_rate=1.0")
    assert done.code == 0, done.err
    run = RunReader(tmp_path / "runs" / "some")
    (record,) = run.metrics()
    share = record["rollout/filtered_frac"]
    assert 0 < share < 1
    assert record["training/num_trajectories"] == pytest.approx(12 * (1 - share))
    assert record["training/delivered_fraction"] == 1.0
    assert record["cost/trained_tokens"] < record["cost/sampled_tokens"]
    assert len(list(run.episodes(1))) == 12
    assert "attempts that repeat themselves, the worst is episode" in (run.layout.logs / "latest/run.log").read_text()
    stopped = turnwright("train", write_recipe(), "run.name=stopped", *settings, "algorithm.max_filter_rate=0.0")
    assert stopped.code == 1
    assert "the policy has collapsed into repetition; the worst is episode" in stopped.err
    assert not RunReader(tmp_path / "runs" / "stopped").checkpoints()
