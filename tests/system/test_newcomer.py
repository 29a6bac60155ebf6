"""The way of a newcomer, as docs/quickstart.md and examples/notebook.py tell it."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from system.conftest import Turnwright

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.runs


@pytest.fixture
def workplace(turnwright: Turnwright) -> Turnwright:
    shutil.copytree(ROOT / "examples", turnwright.folder / "examples")
    return turnwright


def test_the_quickstart_gives_a_foothold_in_3_minutes_and_a_proven_gain_in_15(workplace: Turnwright) -> None:
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "quickstart.md").read_text(), re.DOTALL | re.MULTILINE)
    commands = [line.split() for block in blocks for line in block.splitlines()]
    assert [command[1] for command in commands] == [
        "play",
        "check",
        "warmstart",
        "baseline",
        "train",
        "eval",
        "eval",
        "compare",
        "report",
    ]
    seconds: dict[str, float] = {}
    for program, verb, *arguments in commands:
        assert program == "turnwright"
        started = time.monotonic()
        done = workplace(verb, *arguments)
        seconds[verb] = seconds.get(verb, 0.0) + time.monotonic() - started
        assert (done.code, done.err) == (0, ""), (verb, done.out[-2000:])
    runs = workplace.folder / "runs"
    baseline = json.loads((runs / "baseline.json").read_text())
    base, tuned = (
        json.loads((runs / "orders" / "evaluations" / name / "result.json").read_text()) for name in ("base", "tuned")
    )
    assert baseline["success"]["value"] >= 0.10
    assert seconds["warmstart"] < 180
    assert sum(seconds.values()) < 15 * 60
    assert tuned["success"]["low"] > base["success"]["high"] + 0.1


def test_the_notebook_runs_from_top_to_bottom(workplace: Turnwright) -> None:
    done = workplace.python("examples/notebook.py")
    assert done.code == 0, done.err
    assert "Completed" in done.out
    assert "verdict: " in done.out
