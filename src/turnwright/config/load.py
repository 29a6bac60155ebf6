"""From a run.toml and dotted overrides to one validated configuration that knows where each value came from.

Precedence: override > file or argument > default.
"""

import copy
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from turnwright.config.overrides import apply_override, parse_override
from turnwright.config.resolved import ResolvedConfig, validate
from turnwright.core.errors import ConfigError


def resolve(path: Path | None, overrides: Sequence[str] = ()) -> ResolvedConfig:
    """Read a run.toml, apply overrides and validate.

    Args:
        path: The file; None starts from the defaults alone.
        overrides: Assignments such as ``algorithm.group_size=4``; a later one wins.

    Raises:
        ConfigError: The file or a value is wrong; the message has one line per problem.
    """
    if path is None:
        return resolve_values({}, source="default", overrides=overrides)
    return resolve_values(read_toml(path), source=path.name, overrides=overrides)


def resolve_values(values: Mapping[str, Any], *, source: str, overrides: Sequence[str] = ()) -> ResolvedConfig:
    """Validate nested values, such as keyword arguments, that all come from ``source``."""
    merged = copy.deepcopy(dict(values))
    sources = dict.fromkeys(_leaves(merged), source)
    for text in overrides:
        override = parse_override(text)
        apply_override(merged, override)
        key = ".".join(override.path)
        sources = {name: origin for name, origin in sources.items() if not name.startswith(f"{key}.")}
        sources[key] = "override"
    return ResolvedConfig(config=validate(merged), sources=sources)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises ConfigError when it is missing or does not parse."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration file at '{path}': expected a run.toml") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise ConfigError(f"'{path}' is not a text file: expected a run.toml") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"'{path}' is not valid TOML: {error}") from None


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(cast(Mapping[str, Any], value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
