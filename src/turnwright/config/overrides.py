"""Dotted overrides from the command line: ``algorithm.group_size=4``."""

import tomllib
from dataclasses import dataclass
from typing import Any, cast

from turnwright.core.errors import ConfigError

TOML_OPENERS = ("[", "{", '"', "'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One assignment, as ``path = value``."""

    path: tuple[str, ...]
    """("algorithm", "group_size")"""
    value: Any


def parse_override(text: str) -> Override:
    """Read one override; the value is a TOML literal, and a bare word is a string.

    >>> parse_override("model.path=tiny").value, parse_override("run.seed=3").value
    ('tiny', 3)
    """
    key, equals, literal = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or len(path) < 2 or not all(path):
        raise ConfigError(f"override {text!r} is not of the form section.key=value, such as algorithm.group_size=4")
    return Override(path=path, value=parse_literal(literal.strip(), text))


def parse_literal(literal: str, override: str) -> Any:
    """Read the right side of an override."""
    try:
        values = tomllib.loads(f"value = {literal}")
    except tomllib.TOMLDecodeError as error:
        if literal.startswith(TOML_OPENERS):
            raise ConfigError(
                f"override {override!r}: {literal!r} is not a TOML value ({error}); expected for example "
                "4, 0.5, true, tiny, \"two words\" or '[1, 2]' (quote it for the shell)"
            ) from None
        return literal
    return values["value"] if set(values) == {"value"} else literal


def apply_override(values: dict[str, Any], override: Override) -> None:
    """Set the override in nested ``values``, making tables on the way."""
    table = values
    for depth, part in enumerate(override.path[:-1], start=1):
        inner: Any = table.setdefault(part, {})
        if not isinstance(inner, dict):
            key, parent = ".".join(override.path), ".".join(override.path[:depth])
            raise ConfigError(f"override {key!r}: {parent!r} is a value, not a table of settings")
        table = cast(dict[str, Any], inner)
    table[override.path[-1]] = override.value
