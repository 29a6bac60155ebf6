"""What breaks ends as the right outcome or as a clear error, and nothing is lost."""

import json
from pathlib import Path

import pytest

from system.conftest import WORLDS, Turnwright, WriteRecipe
from turnwright.core.outcome import Failed, Truncated
from turnwright.environments.gallery.returns_desk.generator import generate_folder
from turnwright.environments.sop.folder import write_sop_folder
from turnwright.rundir import RunReader

pytestmark = pytest.mark.slow


def test_a_tool_that_raises_fails_the_episode_and_is_named(turnwright: Turnwright) -> None:
    played = turnwright("play", f"{WORLDS}:RaisingTool", "--model", "oracle", "--json")
    outcome = json.loads(played.out)["outcome"]
    assert (played.code, outcome["kind"], outcome["cause"]) == (0, "failed", "tool_error")
    assert "RuntimeError: the shelf is empty" in outcome["detail"]
    checked = turnwright("check", f"{WORLDS}:RaisingTool", "--tasks", 4)
    assert checked.code == 1
    assert "the shelf is empty" in " ".join(checked.out.split())


def test_a_run_whose_grader_always_breaks_stops_at_once_and_keeps_the_attempts(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    settings = ("run.name=broken", "schedule.val_every=0", "rollout.rollout_max_retries=1")
    done = turnwright("train", write_recipe("RaisingReward"), *settings)
    assert done.code == 1
    assert "2 of the last 2 attempts failed, more than 20% of 8 (rollout.max_failed_fraction)" in done.err
    assert "causes: grader_error (2); for example: ZeroDivisionError: no replies to divide by" in done.err
    assert "Time does not cure that" in done.err
    run = RunReader(tmp_path / "runs" / "broken")
    episodes = [attempt.episode for group in run.open_groups() for attempt in group.attempts]
    assert len(episodes) >= 2
    assert all(isinstance(episode.outcome, Failed) for episode in episodes)
    assert {episode.metadata["retries"] for episode in episodes} == {"1"}
    status = run.status()
    assert status is not None
    assert status.phase == "failed"


def test_an_endless_talker_is_cut_graded_and_trained_and_an_answer_that_is_no_json_is_scored_wrong(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe()
    done = turnwright("train", recipe, "run.name=talker", "schedule.max_steps=1")
    assert done.code == 0
    run = tmp_path / "runs" / "talker"
    cut = [episode for episode in RunReader(run).episodes(1) if isinstance(episode.outcome, Truncated)]
    assert cut
    assert {episode.turns[-1].num_sampled_tokens for episode in cut} == {12}
    (_, step) = RunReader(run).metrics()
    assert step["rollout/truncated/token_cap_frac"] == len(cut) / 8
    assert step["training/delivered_fraction"] == 1.0

    evaluated = turnwright("eval", run / "checkpoints" / "step_000001", "--json")
    result = json.loads(evaluated.out)
    assert (result["success"]["value"], result["completion"]["value"]) == (0.0, 0.0)
    assert result["outcomes"]["failed"] == 0.0


def test_a_broken_row_of_a_task_file_is_bad_input_that_names_file_and_line(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "desk"
    write_sop_folder(generate_folder(seed=0, train=120, validation=120, test=120), folder)
    with (folder / "train.csv").open("a") as file:
        file.write("only,three,cells\n")
    done = turnwright("train", write_recipe(), f"environment.name=sop:{folder}", "environment.options={}")
    assert done.code == 2
    assert "train.csv" in done.err
    assert "line 242: expected" in done.err
    assert "Traceback" not in done.err


def test_an_environment_that_cannot_be_opened_is_named_before_anything_is_written(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    done = turnwright("train", write_recipe("RaisingStart"))
    assert done.code == 2
    assert "RaisingStart cannot open task 'train-0': OSError('no room left')" in done.err
    assert not (tmp_path / "runs").exists()


def test_a_setting_that_cannot_be_honoured_is_refused_before_anything_is_written(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    done = turnwright("train", write_recipe(), "sampling.max_sequence_length=60")
    assert done.code == 2
    assert "an episode may need" in done.err
    assert not (tmp_path / "runs").exists()
