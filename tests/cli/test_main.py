import pytest
import typer

from cli.conftest import Command
from turnwright import cli
from turnwright.core import errors


def test_help_names_every_command(turnwright: Command) -> None:
    result = turnwright("--help")
    assert result.code == 0
    for command in ("runs", "doctor"):
        assert command in result.out


def test_an_unknown_command_is_bad_input(turnwright: Command) -> None:
    assert turnwright("trian").code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError, 2),
        (errors.DatasetError, 2),
        (errors.EnvironmentLoadError, 2),
        (errors.RunDirectoryError, 2),
        (errors.UnsupportedModelError, 2),
        (errors.TrainingError, 1),
        (errors.SamplerMismatchError, 1),
    ],
)
def test_an_error_raised_on_purpose_is_one_clean_message(
    turnwright: Command, monkeypatch: pytest.MonkeyPatch, error: type[errors.TurnwrightError], code: int
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error("loss is nan at step 3: lower the rate")

    monkeypatch.setattr(cli, "app", app)
    result = turnwright()
    assert (result.code, result.out, result.err) == (code, "", "error: loss is nan at step 3: lower the rate\n")


def test_a_missing_extra_is_named(turnwright: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def train() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(cli, "app", app)
    result = turnwright()
    assert (result.code, result.err) == (2, "error: this command needs torch: pip install 'turnwright[train]'\n")


def test_any_other_error_keeps_its_traceback(turnwright: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(KeyError, match="a bug"):
        turnwright()
