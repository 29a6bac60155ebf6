"""The audit against tools that are described wrongly, answer always the same or something else each time."""

from pathlib import Path

import pytest

from audit.planted import SLOW, TOOL_DEFECTS, Planted, audit_claims, found, names

pytestmark = pytest.mark.audit
"""Each audits several environments."""


@pytest.mark.parametrize("planted", TOOL_DEFECTS, ids=names(TOOL_DEFECTS))
def test_defect_of_a_tool_is_found(planted: Planted, tmp_path: Path) -> None:
    report = audit_claims(tmp_path, planted.body, num_tasks=16)
    assert found(report, planted), report.findings


def test_slow_tool_is_named(tmp_path: Path) -> None:
    report = audit_claims(tmp_path, SLOW.body, num_tasks=1)
    assert found(report, SLOW), report.findings
    assert report.passed


@pytest.mark.parametrize("broken", ["open(self, task, seed)", "close(self)"])
def test_environment_that_breaks_is_reported_and_does_not_break_the_check(broken: str, tmp_path: Path) -> None:
    report = audit_claims(tmp_path, f"def {broken}:\n    raise OSError('disk full')", num_tasks=4)
    assert report.passed == (broken == "close(self)")
