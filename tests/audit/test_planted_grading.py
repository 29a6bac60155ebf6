"""The audit against defects in grading, rewards, answers, splits and worlds."""

from pathlib import Path

import pytest

from audit.planted import Planted, audit_claims, found, names
from audit.planted_grading import GRADING_SUITE

pytestmark = pytest.mark.audit
"""Each audits several environments."""


@pytest.mark.parametrize("planted", GRADING_SUITE, ids=names(GRADING_SUITE))
def test_defect_is_found_where_it_is(planted: Planted, tmp_path: Path) -> None:
    report = audit_claims(tmp_path, planted.body, processes=2 * (planted.code == "replay.diff"))
    assert found(report, planted), report.findings
