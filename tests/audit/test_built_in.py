"""The environments that come along, built in or as examples in Python, pass their own audit."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from turnwright.environments.load import BUILT_IN
from turnwright.launch.check import check_environment
from turnwright.sandbox.base import SandboxError
from turnwright.sandbox.choose import open_sandbox

pytestmark = pytest.mark.audit

EXAMPLES = Path(__file__).parents[2] / "examples"
NUM_TASKS: Mapping[str, int] = {
    # Prompts brings no tasks of its own.
    **dict.fromkeys((name for name in BUILT_IN if name != "prompts"), 24),
    "code_repair": 4,
    "orders/environment.py:Orders": 24,
    "recorded_lookup/environment.py:Weather": 24,
    "sql_desk/environment.py:SqlDesk": 24,
    "verifiable/arithmetic.py:Arithmetic": 24,
    "verifiable/sales.py:Sales": 24,
    "verifiable/functions.py:Functions": 4,
}
RUNS_CODE = ("code_repair", "verifiable/functions.py:Functions")
EXPECTED: Mapping[str, Mapping[str, str]] = {
    "code_repair": {"cost.slow": "every run of the tests starts a sandbox, which a busy machine does slowly"},
    "verifiable/functions.py:Functions": {"cost.slow": "as in code_repair"},
}
"""Warnings that are meant, by environment and code, each with its reason."""


@pytest.mark.parametrize("name", NUM_TASKS)
def test_it_passes_without_a_warning_that_is_not_meant(name: str) -> None:
    if name in RUNS_CODE:
        try:
            open_sandbox()
        except SandboxError as missing:
            pytest.skip(f"no sandbox works here: {missing}")
    report = check_environment(name if name in BUILT_IN else f"{EXAMPLES / name}", num_tasks=NUM_TASKS[name])
    assert report.passed, report.findings
    assert report.oracle.solved == report.oracle.of == NUM_TASKS[name]
    alarms = [f for f in report.findings if f.severity != "info" and f.code not in EXPECTED.get(name, {})]
    assert alarms == []


@pytest.mark.parametrize("name", ["word_game", "returns_desk"])
def test_the_same_settings_give_the_same_report(name: str) -> None:
    one, other = (check_environment(name, num_tasks=40, processes=0) for _ in range(2))
    assert (one.findings, one.floors, one.attacks) == (other.findings, other.floors, other.attacks)
    assert one.oracle == other.oracle
