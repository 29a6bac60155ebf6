"""From a name and options to an environment, or to an error that names what exists."""

from pathlib import Path

import pytest

from turnwright.core.errors import EnvironmentLoadError
from turnwright.environments import load_environment
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk

ORDERS = Path(__file__).parents[2] / "examples" / "orders" / "environment.py"


def test_built_in_name_resolves_with_options() -> None:
    environment = load_environment("returns_desk", {"train_tasks": 240, "validation_tasks": 120, "test_tasks": 120})
    assert isinstance(environment, ReturnsDesk)
    assert len(environment.tasks("train")) == 240


def test_module_and_class_resolve() -> None:
    name = "turnwright.environments.gallery.returns_desk.environment:ReturnsDesk"
    assert isinstance(load_environment(name, {"train_tasks": 120, "test_tasks": 120}), ReturnsDesk)


def test_file_and_class_resolve() -> None:
    assert type(load_environment(f"{ORDERS}:Orders")).__name__ == "Orders"


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("returns_dest", "built-in name .*returns_desk"),
        ("nowhere.at_all:Desk", "importing nowhere.at_all failed"),
        ("turnwright.environments.gallery.returns_desk.environment:Desk", "it has: ReturnsDesk"),
        ("no/such/file.py:Desk", "there is no file .*file.py"),
        ("sop:no/such/folder", "there is no SOP folder"),
        (f"{ORDERS}:Task", "it has: Orders"),
    ],
)
def test_unknown_name_is_refused_with_what_exists(name: str, named: str) -> None:
    with pytest.raises(EnvironmentLoadError, match=named):
        load_environment(name)


def test_unknown_option_is_refused_with_what_exists() -> None:
    with pytest.raises(EnvironmentLoadError, match="no option 'tasks'; it has: train_tasks"):
        load_environment("returns_desk", {"tasks": 3})
    with pytest.raises(EnvironmentLoadError, match="no option 'city'; it has: none"):
        load_environment(f"{ORDERS}:Orders", {"city": "Oslo"})


FILE = """
from turnwright.environments import Environment, tool
{first}
class Desk(Environment):
    {tasks}
    {tool}
    def reward(self, episode): return 0.0
"""


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"first": "raise RuntimeError('no licence')"}, "RuntimeError.*no licence"),
        ({"first": "def ("}, "SyntaxError"),
        ({"tasks": "pass"}, "cannot be built: .*abstract method '?tasks"),
        ({"tool": "@tool\n    def look(self, order): ..."}, "tool 'look', argument 'order' has no type"),
    ],
)
def test_broken_file_is_refused_with_the_reason(tmp_path: Path, parts: dict[str, str], named: str) -> None:
    filled = {"first": "", "tasks": "def tasks(self, split): return []", "tool": "", **parts}
    path = tmp_path / "desk.py"
    path.write_text(FILE.format(**filled))
    with pytest.raises(EnvironmentLoadError, match=named):
        load_environment(f"{path}:Desk")


def test_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "desk.py"
    for turns in (3, 12):
        path.write_text(
            FILE.format(first="", tasks="def tasks(self, split): return []", tool=f"typical_turns = {turns}")
        )
        assert load_environment(f"{path}:Desk").typical_turns == turns
