"""What ``turnwright train`` refuses before it loads anything; whole runs are in tests/system."""

from pathlib import Path

import pytest

from cli.conftest import Command
from turnwright.cli.options import split_settings


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("absent.toml",), "no configuration file at 'absent.toml'"),
        (("environment.name=returns_desk", "algorithm.grup_size=4"), "did you mean 'algorithm.group_size'"),
        (("model.path=tiny",), "environment is missing"),
        (("--resume", "absent"), "no run 'absent'"),
        (("absent.toml", "--from", "absent@3"), "no run 'absent'"),
        (("--resume", "first", "--from", "first"), "give one of them"),
    ],
)
def test_bad_input_exits_2_and_names_the_cure(turnwright: Command, arguments: tuple[str, ...], named: str) -> None:
    result = turnwright("train", *arguments)
    assert (result.code, result.out) == (2, "")
    assert named in result.err


def test_the_first_argument_is_a_file_unless_it_is_an_override() -> None:
    assert split_settings(["run.toml", "run.seed=2"]) == (Path("run.toml"), ["run.seed=2"])
    assert split_settings(["run.seed=2"]) == (None, ["run.seed=2"])
    assert split_settings(None) == (None, [])
