"""How much the audit finds on environments that were held out: nobody who worked on the audit had seen them.

The numbers below were measured once, on an audit that was not tuned to these environments; keep it so, and read them as
the ones to expect on the next team's environment. What is missed here is no list of things to do.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from audit.independent.suite import Label, audit_all, name_of, read_labels
from turnwright.core.outcome import Rewarded
from turnwright.environments.load import load_environment
from turnwright.rollout.demonstrations import run_script

pytestmark = pytest.mark.audit
FOLDER = Path(__file__).parent
LABELS = [replace(label, timeout_seconds=300) for label in read_labels(FOLDER)]
CLEAN = [label for label in LABELS if label.defect is None]
PLANTED = [label for label in LABELS if label.defect is not None]
FOUND = 20
"""Defects of 26 that were found with code and place, measured once on an audit not tuned to them. A reader of the
findings sees 21: of contract_clauses.py, a code that its label does not foresee says what is wrong."""
FALSE_ALARMS = 2
"""Clean environments of 10 with an error or a warning, measured once on an audit not tuned to them."""


def test_every_file_has_a_label() -> None:
    assert {label.file for label in LABELS} == {path.name for path in (FOLDER / "environments").glob("*.py")}
    assert (len(PLANTED), len(CLEAN)) == (26, 10)


@pytest.mark.parametrize("label", CLEAN, ids=lambda label: label.file)
def test_the_oracle_of_a_clean_one_earns_everything_and_replays(label: Label) -> None:
    environment = load_environment(name_of(label.file, FOLDER))
    tasks = [task for split in ("train", "validation", "test") for task in environment.tasks(split)]
    first, second = ([asyncio.run(run_script(environment, task, "oracle", seed=3)) for task in tasks] for _ in range(2))
    assert [episode.outcome.value for episode in first if isinstance(episode.outcome, Rewarded)] == [1.0] * len(tasks)
    assert [episode.messages for episode in first] == [episode.messages for episode in second]


def test_defects_are_found() -> None:
    missed = [verdict for verdict in audit_all(PLANTED) if not verdict.found]
    report = "\n".join(map(str, missed))
    assert len(PLANTED) - len(missed) >= FOUND, report


def test_clean_ones_seldom_raise_an_alarm() -> None:
    alarmed = [verdict for verdict in audit_all(CLEAN) if verdict.alarms or verdict.crash]
    report = "\n".join(map(str, alarmed))
    assert len(alarmed) <= FALSE_ALARMS, report
