"""The planted suite as numbers: how many defects are found, and how many alarms are false."""

from pathlib import Path

import pytest

from audit.planted import (
    CLEAN,
    HERMETIC_DEFECTS,
    PROMPT_LEAKS,
    TOOL_DEFECTS,
    TOOL_LEAKS,
    audit_claims,
    found,
)

SUITE = (*PROMPT_LEAKS, *TOOL_LEAKS, *TOOL_DEFECTS, *HERMETIC_DEFECTS)


def test_suite_has_no_name_twice() -> None:
    assert len({one.name for one in SUITE}) == len(SUITE)


@pytest.mark.slow
def test_recall_and_false_alarms(tmp_path: Path) -> None:
    recalled = sum(found(audit_claims(tmp_path, one.body, num_tasks=24), one) for one in SUITE)
    alarms = sum(len(audit_claims(tmp_path, body).findings) for body in CLEAN.values())
    assert (recalled, alarms) == (len(SUITE), 0)
    assert len(SUITE) >= 30
    assert len(CLEAN) >= 10
