import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from cli.conftest import Command
from cli.evaluations import TASKS, save_evaluation


def test_a_gain_is_shown_with_its_interval(turnwright: Command, tmp_path: Path) -> None:
    base, tuned = save_evaluation(tmp_path / "base", right=6), save_evaluation(tmp_path / "tuned", right=27)
    result = turnwright("compare", base, tuned)
    assert (result.code, result.err) == (0, "")
    (line,) = (line for line in result.out.splitlines() if line.startswith("success (sampled)"))
    assert line.split()[2:5] == ["20.0%", "90.0%", "+70.0"]
    assert result.out.splitlines()[-1] == "verdict: better"


def test_a_regression_exits_4(turnwright: Command, tmp_path: Path) -> None:
    base, tuned = save_evaluation(tmp_path / "base", right=27), save_evaluation(tmp_path / "tuned", right=6)
    assert turnwright("compare", base, tuned).code == 4
    document = json.loads(turnwright("compare", base, tuned, "--json").out)
    assert document["verdict"] == "worse"
    schema = json.loads((files("turnwright.evaluation.schemas") / "comparison.json").read_text())
    assert document.keys() == schema["properties"].keys()


def test_other_tasks_and_missing_evaluations_are_bad_input(turnwright: Command, tmp_path: Path) -> None:
    base = save_evaluation(tmp_path / "base", right=6)
    others = tuple(replace(task, prompt="another") for task in TASKS)
    other = save_evaluation(tmp_path / "other", right=6, tasks=others)
    assert "tasks_hash" in turnwright("compare", base, other).err
    absent = turnwright("compare", base, tmp_path / "absent")
    assert absent.code == 2
    assert "turnwright eval" in absent.err
