"""How ``turnwright baseline`` ends; what it measures is in tests/launch and tests/system."""

import pytest

from cli.conftest import Command


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("absent.toml",), "no configuration file"),
        (("environment.name=returns_desk", "--split", "tset"), "expected train, validation, test"),
        (("environment.name=returns_desk", "--tasks", "0"), "--tasks"),
        (("environment.name=returns_desk", "model.path=/"), "holds no config.json"),
    ],
)
def test_bad_input_exits_2_and_names_the_cure(turnwright: Command, arguments: tuple[str, ...], named: str) -> None:
    result = turnwright("baseline", *arguments)
    assert result.code == 2
    assert named in " ".join(result.err.replace("│", " ").split())
