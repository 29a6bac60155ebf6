"""What several commands take: a run.toml with overrides, options of an environment, and how a run is named."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from turnwright.config import ResolvedConfig, read_toml, resolve
from turnwright.config.overrides import parse_literal
from turnwright.core.errors import ConfigError
from turnwright.core.task import Split


def check_split(name: str | None) -> str | None:
    """Refuse a name that is no split."""
    if name is not None and name not in get_args(Split):
        raise typer.BadParameter(f"{name!r} is no split: expected {', '.join(get_args(Split))}")
    return name


Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="RUN.TOML KEY=VALUE", help="A run.toml, then overrides: algorithm.group_size=4."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A run.toml.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")]
Options = Annotated[
    list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Option of the environment; may be repeated.")
]
SplitName = Annotated[str, typer.Option("--split", help="train, validation or test.", callback=check_split)]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name or path of a run.")]
RUNS = Path("runs")
"""Where a run that is given by name is looked for."""
ScorerName = Annotated[
    str | None, typer.Option("--scorer", help="Independent scorer; the strict one where tasks have a gold answer.")
]


def split_settings(settings: Sequence[str] | None) -> tuple[Path | None, list[str]]:
    """Return the run.toml, when the first argument is one, and the overrides."""
    given = list(settings or ())
    file = Path(given.pop(0)) if given and "=" not in given[0] else None
    return file, given


def read_settings(settings: Sequence[str] | None) -> ResolvedConfig:
    """Return the configuration that the arguments of a command describe."""
    return resolve(*split_settings(settings))


def read_environment(name: str, options: Sequence[str] | None) -> dict[str, Any]:
    """Return the [environment] section that a command's ENV stands for: that of a run.toml, or one environment."""
    if not name.endswith(".toml"):
        return {"name": name, "options": read_options(options)}
    if options:
        raise ConfigError(f"--option has no effect on '{name}': write options into its [environment] section")
    return read_toml(Path(name)).get("environment", {})


def read_options(options: Sequence[str] | None) -> dict[str, Any]:
    """Return an environment's options; values are TOML literals, and a bare word is a string."""
    found: dict[str, Any] = {}
    for text in options or ():
        key, equals, literal = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"option {text!r} is not of the form key=value, such as train_tasks=120")
        found[key] = parse_literal(literal, text)
    return found
