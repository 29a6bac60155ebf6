import json
import os
from pathlib import Path

import pytest

from cli.conftest import Command

SOP_BENCH = Path(os.environ.get("SOP_BENCH_DIR", Path(__file__).parents[3] / "shared" / "sop-bench"))


def test_the_oracle_is_played_turn_by_turn(turnwright: Command) -> None:
    result = turnwright("play", "returns_desk", "--model", "oracle", "--task", "test-3")
    assert (result.code, result.err) == (0, "")
    assert "task test-3" in result.out
    assert "-> get_order" in result.out
    assert "reward 1" in result.out


def test_json_is_the_episode_as_a_run_keeps_it(turnwright: Command) -> None:
    result = turnwright("play", "returns_desk", "--model", "hasty_clerk", "--split", "train", "--json")
    episode = json.loads(result.out)
    assert (episode["key"], episode["task"]["split"]) == ({"task_id": "train-0", "attempt": 0}, "train")
    assert episode["score"].keys() == {"success", "fields", "completed"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--model", "oracle", "--task", "test-9999"), "no task 'test-9999'"),
        (("--model", "oracle", "--split", "tset"), "expected train, validation, test"),
        (("--model", "oracle", "--scorer", "reward"), "allow_reward_as_scorer"),
    ],
)
def test_what_does_not_exist_is_bad_input(turnwright: Command, arguments: tuple[str, ...], named: str) -> None:
    result = turnwright("play", "returns_desk", *arguments)
    assert result.code == 2
    assert named in " ".join(result.err.replace("│", " ").split())


@pytest.mark.skipif(not SOP_BENCH.is_dir(), reason="SOP_BENCH_DIR names no folder of SOP-Bench")
def test_an_episode_of_a_real_domain_is_played_by_its_rules(turnwright: Command) -> None:
    result = turnwright("play", f"sop:{SOP_BENCH / 'referral_abuse_detection_v1'}", "--model", "oracle")
    assert result.code == 0
    assert "-> investigate_account" in result.out
    assert "solved  enforcement_action right" in result.out


def test_a_run_toml_stands_for_its_environment(turnwright: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "[environment.mixture.returns]\nname = 'returns_desk'\noptions = {train_tasks = 120, validation_tasks = 120}\n"
        "[environment.mixture.words]\nname = 'procedures'\noptions = {size = 3}\n"
    )
    task = "words/procedures-0-test-1"
    result = turnwright("play", path, "--model", "oracle", "--task", task, "--json")
    assert (result.code, result.err) == (0, "")
    episode = json.loads(result.out)
    assert (episode["key"]["task_id"], episode["task"]["domain"], episode["score"]["success"]) == (task, "words", True)
    assert "order O" not in result.out
    clerk = turnwright("play", path, "--model", "hasty_clerk", "--split", "train")
    assert "task returns/train-0" in clerk.out
    refused = turnwright("play", path, "--model", "hasty_clerk", "--task", task)
    assert refused.code == 2
    assert "domain 'words': GeneratedProcedures has no scripted policy 'hasty_clerk'" in refused.err
    assert turnwright("play", path, "--model", "oracle", "--option", "size=3").code == 2
