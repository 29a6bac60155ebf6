"""Splits: a partition that keeps clusters together, the same on every machine, and locked."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwright.core.errors import DatasetError
from turnwright.core.task import Task
from turnwright.datasets import (
    LOCK_NAME,
    find_changes,
    load_tasks,
    read_lock,
    require_trainable,
    split_tasks,
    write_split,
)

CLUSTERS = st.lists(st.none() | st.integers(0, 12).map(str), min_size=40, max_size=80)


def rows(clusters: list[str | None]) -> list[Task]:
    return [Task(id=str(i), prompt=f"task {i // 2}", cluster=cluster) for i, cluster in enumerate(clusters)]


def numbered(count: int) -> list[Task]:
    return [Task(id=str(i), prompt=f"task {i}", data={"label": "ab"[i % 4 == 0]}) for i in range(count)]


@pytest.mark.slow
@settings(max_examples=60)
@given(CLUSTERS, st.integers(0, 100), st.randoms(use_true_random=False))
def test_splits_are_a_partition_that_no_cluster_and_no_order_changes(
    clusters: list[str | None], seed: int, random: Random
) -> None:
    tasks = rows(clusters)
    try:
        splits = split_tasks(tasks, seed=seed, validation=0.2, test=0.2)
    except DatasetError as refusal:
        assert "units that must stay together" in str(refusal)  # noqa: PT017 - few units may leave a split empty
        return
    assert sorted(task.id for split in splits.values() for task in split) == sorted(task.id for task in tasks)
    homes = {task.id: name for name, split in splits.items() for task in split}
    for key in (lambda task: task.cluster, lambda task: task.prompt):
        for one in tasks:
            same = {homes[other.id] for other in tasks if key(other) == key(one) is not None}
            assert key(one) is None or len(same) == 1
    shuffled = random.sample(tasks, len(tasks))
    again = split_tasks(shuffled, seed=seed, validation=0.2, test=0.2)
    assert {task.id: name for name, split in again.items() for task in split} == homes


def test_the_split_is_the_same_on_every_machine() -> None:
    splits = split_tasks(numbered(20), seed=7, validation=0.1, test=0.2)
    assert [task.id for task in splits["validation"]] == ["6", "19"]
    assert [task.id for task in splits["test"]] == ["5", "7", "8", "17"]
    assert {task.split for task in splits["test"]} == {"test"}
    other = split_tasks(numbered(20), seed=8, validation=0.1, test=0.2)
    assert splits["test"] != other["test"]


def test_a_column_has_the_same_shares_in_all_splits() -> None:
    splits = split_tasks(numbered(200), seed=1, validation=0.1, test=0.2, by="label")
    counts = {name: Counter(task.data["label"] for task in split) for name, split in splits.items()}
    assert {name: sum(count.values()) for name, count in counts.items()} == {"train": 140, "validation": 20, "test": 40}
    assert all(abs(count["b"] - sum(count.values()) / 4) <= 1 for count in counts.values())


def test_many_small_strata_do_not_starve_a_split() -> None:
    tasks = [replace(task, data={"label": i // 3}) for i, task in enumerate(numbered(90))]
    assert len(split_tasks(tasks, seed=1, validation=0, test=0.1, by="label")["test"]) == 9


@pytest.mark.parametrize(
    ("validation", "test", "by", "said"),
    [
        (0.5, 0.5, None, "validation [+] test = 1: expected more than 0 and less than 1"),
        (0, 0, None, "validation [+] test = 0"),
        (0.1, 20, None, "test = 20: expected a share of the rows"),
        (0.1, 0.1, "lable", "4 of 4 rows have no column 'lable', first '0'"),
        (0.1, 0.1, None, "4 rows in 4 units .* leave test without a row: choose larger shares"),
    ],
)
def test_a_split_that_cannot_be_is_refused(validation: float, test: float, by: str | None, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        split_tasks(numbered(4), seed=0, validation=validation, test=test, by=by)


def test_files_and_lock_say_what_was_split(tmp_path: Path) -> None:
    tasks = [replace(task, cluster=str(i // 4), split="train") for i, task in enumerate(numbered(40))]
    splits = split_tasks(tasks, seed=3, validation=0, test=0.2)
    lock = write_split(splits, tmp_path / "out", seed=3)
    for name, split in splits.items():
        assert load_tasks(tmp_path / "out" / f"{name}.jsonl", name) == split
    assert read_lock(tmp_path / "out" / LOCK_NAME) == lock
    document = json.loads((tmp_path / "out" / LOCK_NAME).read_text())
    assert (document["seed"], document["splits"]["test"]["count"]) == (3, 8)
    assert len(set(document["splits"]["test"]["rows"])) == 8
    assert write_split(splits, tmp_path / "out", seed=3) == lock


def test_a_file_that_is_no_longer_what_was_locked_is_noticed(tmp_path: Path) -> None:
    write_split(split_tasks(numbered(20), seed=3, validation=0, test=0.2), tmp_path, seed=3)
    test = tmp_path / "test.jsonl"
    assert find_changes(test) == find_changes(tmp_path / "other.jsonl") == ()
    test.write_text(test.read_text().replace('"label": "b"', '"label": "a"'))
    (finding,) = find_changes(test)
    assert (finding.code, finding.severity, finding.where) == ("lock.changed", "error", str(test))
    (tmp_path / LOCK_NAME).unlink()
    assert find_changes(test) == ()


def test_a_lock_and_files_are_not_overwritten(tmp_path: Path) -> None:
    splits = split_tasks(numbered(20), seed=3, validation=0, test=0.2)
    write_split(splits, tmp_path, seed=3)
    other = split_tasks(numbered(20), seed=4, validation=0, test=0.2)
    with pytest.raises(DatasetError, match=r"split.lock.json locks another split: choose a new folder"):
        write_split(other, tmp_path, seed=4)
    (tmp_path / LOCK_NAME).unlink()
    with pytest.raises(DatasetError, match=r"has train.jsonl, test.jsonl already"):
        write_split(other, tmp_path, seed=4)


def test_test_rows_are_not_trained_on_however_they_are_dressed(tmp_path: Path) -> None:
    splits = split_tasks(numbered(20), seed=3, validation=0.2, test=0.2)
    lock = write_split(splits, tmp_path, seed=3)
    require_trainable([*splits["train"], *splits["validation"]], lock)
    smuggled = replace(splits["test"][0], id="new", prompt=f" {splits['test'][0].prompt.upper()}!", data={})
    with pytest.raises(DatasetError, match=r"1 of the training tasks are test rows .* 'new'; train on train.jsonl"):
        require_trainable([*splits["train"], smuggled], lock)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}', '{"format": 1, "splits": {"tset": {}}}'])
def test_a_broken_lock_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK_NAME).write_text(content)
    with pytest.raises(DatasetError, match=r"split.lock.json is no lock file"):
        read_lock(tmp_path / LOCK_NAME)


def test_a_missing_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no lock file"):
        read_lock(tmp_path / LOCK_NAME)
