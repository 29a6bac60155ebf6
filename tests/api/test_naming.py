"""A class is passed to another process by the name under which that process finds it."""

from pathlib import Path

import pytest

from system.worlds import Talk
from turnwright import Environment
from turnwright.api.naming import environment_name
from turnwright.core.errors import ConfigError
from turnwright.environments import load_environment
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk

ORDERS = f"{Path(__file__).parents[2] / 'examples' / 'orders' / 'environment.py'}:Orders"


def test_a_name_stays_as_it_is() -> None:
    assert environment_name("sop:folder") == "sop:folder"


def test_a_class_of_a_package_is_named_by_its_module() -> None:
    assert environment_name(ReturnsDesk) == "turnwright.environments.gallery.returns_desk.environment:ReturnsDesk"
    assert environment_name(Talk) == "system.worlds:Talk"


def test_a_class_of_a_file_is_named_by_its_file() -> None:
    orders = type(load_environment(ORDERS))
    assert environment_name(orders) == ORDERS


def test_a_class_that_no_other_process_finds_is_refused() -> None:
    class Local(Talk):
        pass

    with pytest.raises(ConfigError, match=r"Local cannot be found .*move it to a file"):
        environment_name(Local)
    cell = type("Cell", (Environment,), {"__module__": "__main__"})
    cell.__module__ = "cell"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "cell", type(pytest)("cell"))
        with pytest.raises(ConfigError, match="Cell cannot be found"):
            environment_name(cell)
