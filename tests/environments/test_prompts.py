"""Tasks from files, for agents that bring everything else."""

import json
from pathlib import Path

import pytest

from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.message import Message
from turnwright.core.task import Task
from turnwright.datasets import LOCK_NAME, register, split_tasks, write_split
from turnwright.environments.load import load_environment


def write(folder: Path, *lines: object) -> str:
    path = folder / "tasks.jsonl"
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_row_becomes_a_task_and_its_other_columns_stay_data(tmp_path: Path) -> None:
    file = write(tmp_path, {"prompt": " order: O3\n", "id": "a", "gold": 1, "cluster": "c"}, "\n", {"prompt": "x"})
    environment = load_environment("prompts", {"train": file})
    first, second = environment.tasks("train")
    assert (first.id, first.prompt, first.data, first.cluster, first.split) == (
        "a",
        " order: O3\n",
        {"gold": 1},
        "c",
        "train",
    )
    assert (second.id, second.data, second.cluster) == ("tasks-3", {}, None)
    assert list(environment.tasks("validation")) == []
    assert environment.turn_limit == 20


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{\n", "line 1 is not JSON"),
        ("[1]\n", "line 1 is list: expected an object"),
        ({"prompt": ""}, "line 1 has prompt = ''"),
        ({"id": "a"}, "line 1 has no column 'prompt'"),
        ({"prompt": "x", "id": 3}, "line 1 has id = 3"),
    ],
)
def test_a_broken_row_is_named_with_its_line(tmp_path: Path, line: object, said: str) -> None:
    environment = load_environment("prompts", {"train": write(tmp_path, line)})
    with pytest.raises(DatasetError, match=said):
        list(environment.tasks("train"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    environment = load_environment("prompts", {"test": str(tmp_path / "none.jsonl")})
    with pytest.raises(DatasetError, match=r"none.jsonl with test tasks: mend environment.options.test"):
        list(environment.tasks("test"))


def test_it_never_makes_up_a_world_or_a_reward() -> None:
    environment = load_environment("prompts")
    with pytest.raises(EnvironmentLoadError, match=r"set agent\.kind"):
        environment.respond(Message(role="assistant", content="hi"))


def test_every_format_and_registered_data_give_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNWRIGHT_DATA", str(tmp_path / "store"))
    (tmp_path / "tasks.csv").write_text("prompt,gold\norder: O3,refund\n")
    reference = register("orders", tmp_path / "tasks.csv").reference
    environment = load_environment("prompts", {"train": str(tmp_path / "tasks.csv"), "test": reference})
    (trained,), (tested,) = environment.tasks("train"), environment.tasks("test")
    assert (trained.prompt, trained.data, trained.split) == ("order: O3", {"gold": "refund"}, "train")
    assert (tested.id, tested.prompt, tested.split) == (trained.id, trained.prompt, "test")


def test_test_rows_of_a_locked_split_are_not_trained_on(tmp_path: Path) -> None:
    tasks = [Task(id=f"t{i}", prompt=f"order: O{i}") for i in range(10)]
    write_split(split_tasks(tasks, seed=0, validation=0, test=0.2), tmp_path / "split", seed=0)
    train, test = (str(tmp_path / "split" / f"{name}.jsonl") for name in ("train", "test"))
    assert len(list(load_environment("prompts", {"train": train, "test": test}).tasks("train"))) == 8
    with pytest.raises(DatasetError, match="2 of the training tasks are test rows of the split with seed 0"):
        load_environment("prompts", {"train": test}).tasks("train")
    copied = tmp_path / "copied.jsonl"
    copied.write_bytes(Path(test).read_bytes())
    lock = str(tmp_path / "split" / LOCK_NAME)
    with pytest.raises(DatasetError, match="are test rows"):
        load_environment("prompts", {"train": str(copied), "lock": lock}).tasks("train")
    with pytest.raises(DatasetError, match="there is no lock file"):
        load_environment("prompts", {"train": train, "lock": f"{lock}x"}).tasks("train")
