"""The audit against environments that leave something behind when they are closed."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.planted import LEFTOVERS, Planted, audit_claims, found, names

pytestmark = pytest.mark.audit
"""Each audits several environments."""


@pytest.fixture(autouse=True)
def clean_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of the test, and end what the planted environment leaves in this process."""
    monkeypatch.chdir(tmp_path)
    before = set(Path("/proc/self/fd").iterdir())
    yield
    os.environ.pop("CLAIMS_TASK", None)
    for entry in set(Path("/proc/self/fd").iterdir()) - before:
        if str(entry.resolve()) == os.devnull:
            os.close(int(entry.name))


@pytest.mark.parametrize("planted", LEFTOVERS, ids=names(LEFTOVERS))
def test_leftover_is_named(planted: Planted, tmp_path: Path) -> None:
    report = audit_claims(tmp_path, planted.body, num_tasks=2)
    assert found(report, planted), report.findings
    assert not report.passed


def test_temporary_folder_of_the_process_comes_back(tmp_path: Path) -> None:
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    audit_claims(tmp_path, "pass", num_tasks=1)
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before
