"""Tasks by hash: what counts as other data, and how it is named."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from turnwright.core.errors import DatasetError
from turnwright.core.task import Task
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.tasks import changed_tasks, hash_split, hash_task, record_tasks

TASKS = [
    Task(id=f"train-{index}", prompt=f"order: O{index}", data={"gold": {"a": index, "b": [1]}}) for index in range(4)
]


def changes(layout: RunLayout, tasks: list[Task]) -> tuple[str, ...]:
    record_tasks(layout, {"train": TASKS, "validation": ()})
    hashes = {"train": hash_split(map(hash_task, TASKS))}
    return changed_tasks(layout, hashes, {"train": tasks, "validation": [TASKS[0]]})


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (TASKS[:3], "1 of 4 train tasks differ, the first is 'train-3', which is gone"),
        ([*TASKS, Task(id="more", prompt="")], "1 of 5 train tasks differ, the first is 'more', which is new"),
        (
            [TASKS[0], *(replace(task, prompt=task.prompt.lower()) for task in TASKS[1:])],
            "3 of 4 train tasks differ, the first is 'train-1', which says something else",
        ),
        ([replace(TASKS[0], data={"gold": None}), *TASKS[1:]], "'train-0', which says something else"),
        (TASKS[::-1], "the 4 train tasks come in another order"),
    ],
)
def test_other_data_is_named(tmp_path: Path, tasks: list[Task], said: str) -> None:
    (problem,) = changes(RunLayout(tmp_path), tasks)
    assert problem.endswith(said)


def test_the_same_data_is_the_same_however_it_is_held(tmp_path: Path) -> None:
    same = [replace(task, data={"gold": {"b": (1,), "a": task.data["gold"]["a"]}}, cluster="c") for task in TASKS]
    assert changes(RunLayout(tmp_path), same) == ()
    assert not any("order" in line for line in (tmp_path / "tasks.jsonl").read_text().splitlines())


def test_a_set_has_one_hash_whatever_its_order() -> None:
    # Eight texts are in order by chance in one process of 40,320.
    task = Task(id="a", prompt="b", data={"tags": set("hgfedcba")})
    content = (
        r'{"data":{"tags":["\"a\"","\"b\"","\"c\"","\"d\"","\"e\"","\"f\"","\"g\"","\"h\""]},"id":"a","prompt":"b"}'
    )
    assert hash_task(task) == hashlib.sha256(content.encode()).hexdigest()


def test_data_that_json_cannot_say_is_named() -> None:
    with pytest.raises(DatasetError, match=r"task 'a' cannot be written: .*keep Task\.data to JSON values"):
        hash_task(Task(id="a", prompt="", data={"tool": object()}))
