"""Asynchronous runs through the command line: the bound, a stop, a kill, and what is trained again from disk."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe
from system.test_training import comparable_metrics, weights
from turnwright.rundir import RunReader

pytestmark = pytest.mark.slow
ASYNCHRONOUS = ("async_config.max_steps_off_policy=2", "schedule.max_steps=6", "algorithm.proximal=recomputed")


def staleness(run: RunReader, step: int) -> list[int]:
    """Return the staleness of each token that a step may have trained."""
    trained = {group.task for record in run.batches() if record.step == step for group in record.groups}
    return [
        step - 1 - version
        for trajectory in run.trajectories(step)
        if trajectory.key.task_id in trained
        for turn in trajectory.turns
        for version in turn.policy_versions
    ]


def require_whole(run: RunReader, *, steps: int, batch_size: int = 2) -> None:
    """Every step is there once, with its own groups, and no attempt is in two."""
    assert [record["step"] for record in run.metrics()] == list(range(steps + 1))
    assert [record.step for record in run.batches()] == list(range(1, steps + 1))
    for record in run.batches():
        assert sum(group.fate == "trained" for group in record.groups) == batch_size
    numbers = Counter(group.number for record in run.batches() for group in record.groups)
    assert max(numbers.values()) == 1
    keys = Counter(episode.key for step in run.episode_steps() for episode in run.episodes(step))
    assert max(keys.values()) == 1


def test_tokens_are_stale_and_never_more_than_they_may_be(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe("Uneven", options="{longest = 0.4}")
    done = turnwright("train", recipe, "run.name=run", *ASYNCHRONOUS)
    assert (done.code, done.err) == (0, "")
    run = RunReader(tmp_path / "runs" / "run")
    require_whole(run, steps=6)
    found = {step: staleness(run, step) for step in range(1, 7)}
    assert all(0 <= value <= 2 for values in found.values() for value in values)
    assert max(value for values in found.values() for value in values) > 0
    for record in run.metrics()[1:]:
        assert record["training/staleness/max"] == max(found[int(record["step"])])
        assert record["timing_s/step"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_checkpoint_and_the_run_goes_on_from_there(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path, number: signal.Signals
) -> None:
    recipe = write_recipe("Uneven", options="{longest = 0.4}")
    settings = (*ASYNCHRONOUS, "schedule.save_every=0", "schedule.val_every=0")
    stopped = turnwright.interrupt("train", recipe, "run.name=run", *settings, after="step 2/6", number=number)
    assert stopped.code == 130
    run = RunReader(tmp_path / "runs" / "run")
    status = run.status()
    assert status is not None
    assert (status.phase, run.checkpoints()[-1].step) == ("stopped", status.step)
    open_attempts = {a.episode.key for group in run.open_groups() for a in group.attempts}
    resumed = turnwright("train", "--resume", tmp_path / "runs" / "run")
    assert (resumed.code, resumed.err) == (0, "")
    assert [record["step"] for record in run.metrics()] == list(range(1, 7))
    kept = {episode.key for step in run.episode_steps() for episode in run.episodes(step)}
    # What the last step did not need is still open, as files.
    kept |= {a.episode.key for group in run.open_groups() for a in group.attempts}
    assert open_attempts <= kept


def test_a_killed_run_trains_its_closed_steps_again_from_disk(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe("Uneven", options="{longest = 0.2}")
    settings = (*ASYNCHRONOUS, "schedule.save_every=0")
    killed = turnwright.interrupt("train", recipe, "run.name=run", *settings, after="step 4/6", number=signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    run = RunReader(tmp_path / "runs" / "run")
    assert run.checkpoints() == ()
    before = {step: sorted(str(episode.key) for episode in run.episodes(step)) for step in (1, 2, 3, 4)}
    lines = run.metrics()[:5]
    resumed = turnwright("train", "--resume", tmp_path / "runs" / "run")
    assert (resumed.code, resumed.err) == (0, "")
    require_whole(run, steps=6)
    assert {step: sorted(str(episode.key) for episode in run.episodes(step)) for step in (1, 2, 3, 4)} == before
    assert run.metrics()[:5] == lines


def test_a_deterministic_run_killed_between_checkpoints_ends_with_the_same_bits(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    settings = ("run.deterministic=true", "schedule.max_steps=5", "schedule.save_every=3")
    recipe = write_recipe(options="{pause = 0.05}")
    assert turnwright("train", recipe, "run.name=whole", *settings).code == 0
    turnwright.interrupt("train", recipe, "run.name=killed", *settings, after="step 2/5", number=signal.SIGKILL)
    resumed = turnwright("train", "--resume", tmp_path / "runs" / "killed")
    assert (resumed.code, resumed.err) == (0, "")
    whole, killed = tmp_path / "runs" / "whole", tmp_path / "runs" / "killed"
    assert comparable_metrics(killed) == comparable_metrics(whole)
    assert weights(killed) == weights(whole)
