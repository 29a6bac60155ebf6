"""The small form of ``make chaos``: the bench itself, as its users run it, with three kills."""

import json
from pathlib import Path

import pytest

from system.conftest import Turnwright

pytestmark = pytest.mark.runs
CHAOS = Path(__file__).parents[2] / "bench" / "chaos.py"


def test_killed_runs_lose_nothing_train_nothing_twice_and_end_as_if_nothing_had_been(turnwright: Turnwright) -> None:
    small = ("--runs", 3, "--steps", 3, "--undisturbed", 2, "--modes", "deterministic", "ahead")
    done = turnwright.python(CHAOS, *small, "--out", turnwright.folder / "chaos")
    assert done.code == 0, done.out + done.err
    result = json.loads(done.out.splitlines()[-1])
    counts = ("runs", "resumed", "lost", "trained_twice", "equal", "held")
    assert [result[name] for name in counts] == [3, 3, 0, 0, 3, 3]
    assert result["problems"] == []
    assert sum(result["killed"].values()) == 3
    # Where everything held, nothing is kept but what it is compared with.
    left = {path.name for path in (turnwright.folder / "chaos" / "deterministic").iterdir() if path.is_dir()}
    assert left == {"undisturbed-0", "undisturbed-1"}
