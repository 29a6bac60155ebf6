"""Tasks from files, for agents that bring everything else."""

import json
from pathlib import Path

import pytest

from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.message import Message
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
        ({"question": "x"}, "line 1 has prompt = None"),
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
