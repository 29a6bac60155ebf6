"""The audit against environments that reach out of their episode: to the network, the clock, other randomness."""

import sys
from pathlib import Path

import pytest

from audit.planted import HERMETIC_DEFECTS, Planted, audit_claims, found, names

pytestmark = pytest.mark.audit
"""Each audits several environments."""


@pytest.mark.parametrize("planted", HERMETIC_DEFECTS, ids=names(HERMETIC_DEFECTS))
def test_line_that_reaches_out_is_named(planted: Planted, tmp_path: Path) -> None:
    report = audit_claims(tmp_path, planted.body, num_tasks=4)
    assert found(report, planted), report.findings


def test_profiler_of_the_caller_comes_back(tmp_path: Path) -> None:
    before = sys.getprofile()
    audit_claims(tmp_path, "pass", num_tasks=1)
    assert sys.getprofile() is before
