"""How much of the independent suite the audit finds, and what it says about environments without a defect."""

import pytest

from audit.independent.suite import Label, Verdict, audit, audit_all, read_labels

pytestmark = pytest.mark.audit
CLEAN = [label for label in read_labels() if label.defect is None]
PLANTED = [label for label in read_labels() if label.defect is not None]
RECALL = 0.95


@pytest.mark.parametrize("label", CLEAN, ids=lambda label: label.file)
def test_an_environment_without_a_defect_passes(label: Label) -> None:
    verdict = audit(label)
    assert not verdict.alarms, str(verdict)
    assert not verdict.crash, str(verdict)


def test_defects_are_found() -> None:
    verdicts: list[Verdict] = audit_all(PLANTED)
    missed = [verdict for verdict in verdicts if not verdict.found]
    recall = 1 - len(missed) / len(PLANTED)
    report = "\n".join(map(str, missed))
    print(f"found {len(PLANTED) - len(missed)} of {len(PLANTED)}\n{report}")  # noqa: T201
    assert recall >= RECALL, f"recall {recall:.3f}; missed:\n{report}"
