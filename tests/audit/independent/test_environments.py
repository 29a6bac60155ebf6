"""The suite itself: labels for every file, and clean environments that work, by our own play and not by the audit."""

import asyncio

import pytest

from audit.independent.suite import ENVIRONMENTS, Label, name_of, read_labels
from audit.independent.write_recordings import load, record, recorded_files
from turnwright.core.outcome import Rewarded
from turnwright.environments.load import load_environment
from turnwright.environments.recorded.store import read_recordings
from turnwright.rollout.demonstrations import run_script

pytestmark = pytest.mark.slow

SPLITS = ("train", "validation", "test")
CLEAN = [label for label in read_labels() if label.defect is None]


def test_every_file_has_a_label():
    assert {label.file for label in read_labels()} == {path.name for path in ENVIRONMENTS.glob("*.py")}


def test_the_suite_is_large_enough():
    assert len(CLEAN) >= 14
    assert len(read_labels()) - len(CLEAN) >= 34


@pytest.mark.parametrize("label", CLEAN, ids=lambda label: label.file)
def test_the_oracle_earns_everything_and_replays(label: Label):
    environment = load_environment(name_of(label.file))
    tasks = [task for split in SPLITS for task in environment.tasks(split)]
    first, second = ([asyncio.run(run_script(environment, task, "oracle", seed=3)) for task in tasks] for _ in range(2))
    assert [episode.outcome.value for episode in first if isinstance(episode.outcome, Rewarded)] == [1.0] * len(tasks)
    assert [episode.messages for episode in first] == [episode.messages for episode in second]
    assert max(len(episode.turns) for episode in first) <= environment.turn_limit


@pytest.mark.parametrize("label", CLEAN, ids=lambda label: label.file)
def test_splits_are_there_and_apart(label: Label):
    environment = load_environment(name_of(label.file))
    tasks = {split: list(environment.tasks(split)) for split in SPLITS}
    assert all(tasks.values())
    for of in (lambda task: task.id, lambda task: task.prompt, lambda task: task.cluster or task.id):
        assert sum(len({of(task) for task in there}) for there in tasks.values()) == len(
            {of(task) for there in tasks.values() for task in there}
        )


@pytest.mark.parametrize("path", recorded_files(), ids=lambda path: path.stem)
def test_recordings_are_what_the_live_functions_answer(path, tmp_path):
    fresh = tmp_path / "fresh.jsonl"
    asyncio.run(record(load(path), fresh))
    kept, made = read_recordings(ENVIRONMENTS / "recordings" / f"{path.stem}.jsonl"), read_recordings(fresh)
    assert kept.specs == made.specs
    assert {tool: {key: one.answer for key, one in by.items()} for tool, by in kept.by_key.items()} == {
        tool: {key: one.answer for key, one in by.items()} for tool, by in made.by_key.items()
    }
