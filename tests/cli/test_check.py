import json
from importlib.resources import files
from pathlib import Path

import pytest

from cli.conftest import Command
from system import worlds

TALK = f"{worlds.__file__}:Talk"
CONTRACT = {"environment", "passed", "findings", "oracle", "floors", "attacks", "proposed", "facts", "settings"}


@pytest.mark.slow
def test_a_sound_environment_passes(turnwright: Command) -> None:
    result = turnwright("check", "returns_desk", "--tasks", 120)
    assert (result.code, result.err) == (0, "")
    assert "returns_desk: passed" in result.out
    assert "its oracle solves 120 of 120 tasks" in result.out
    assert "majority_class" in result.out


@pytest.mark.slow
def test_json_has_the_shape_of_the_contract(turnwright: Command) -> None:
    report = json.loads(turnwright("check", "returns_desk", "--tasks", 30, "--json").out)
    assert report.keys() == CONTRACT
    assert report["oracle"] == {"kind": "rules", "solved": 30, "of": 30}
    assert report["proposed"].keys() == {"typical_turns", "max_turns"}
    schema = json.loads((files("turnwright.audit.schemas") / "check.json").read_text())
    assert schema["properties"].keys() == CONTRACT


@pytest.mark.slow
def test_an_unsound_environment_fails_and_says_what_to_do(turnwright: Command) -> None:
    result = turnwright("check", TALK, "--tasks", 8)
    assert result.code == 1
    assert "FAILED" in result.out
    assert "error oracle.fails" in result.out
    findings = json.loads(turnwright("check", TALK, "--tasks", 8, "--json").out)["findings"]
    assert all(finding.keys() == {"code", "severity", "where", "evidence", "cure"} for finding in findings)


def test_options_reach_the_environment(turnwright: Command) -> None:
    result = turnwright("check", "returns_desk", "--option", "train_tasks=7")
    assert result.code == 2
    assert "multiple of 120" in result.err
    assert turnwright("check", "returns_desk", "--option", "train_tasks").code == 2


def test_an_environment_that_does_not_exist_is_bad_input(turnwright: Command, tmp_path: Path) -> None:
    result = turnwright("check", tmp_path / "absent.py:Absent")
    assert result.code == 2
    assert result.err.startswith("error: environment ")
