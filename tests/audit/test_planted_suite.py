"""The planted suite as a whole: what it holds, and that clean desks raise no alarm."""

from pathlib import Path

import pytest

from audit.planted import (
    CLEAN,
    HERMETIC_DEFECTS,
    LEFTOVERS,
    PROMPT_LEAKS,
    TOOL_DEFECTS,
    TOOL_LEAKS,
    audit_claims,
)
from audit.planted_grading import GRADING_SUITE

SUITE = (*PROMPT_LEAKS, *TOOL_LEAKS, *TOOL_DEFECTS, *HERMETIC_DEFECTS, *LEFTOVERS, *GRADING_SUITE)


def test_suite_has_no_name_twice_and_is_large() -> None:
    assert len({one.name for one in SUITE}) == len(SUITE) >= 60
    assert len(CLEAN) >= 10


@pytest.mark.audit
@pytest.mark.parametrize("name", CLEAN)
def test_clean_environment_raises_no_alarm(name: str, tmp_path: Path) -> None:
    assert audit_claims(tmp_path, CLEAN[name]).findings == ()
