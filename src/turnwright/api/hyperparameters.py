"""Hyperparameters by attribute, each checked where it is set."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from turnwright.config import ResolvedConfig, Setting, resolve
from turnwright.config.problems import known_keys
from turnwright.core.errors import ConfigError

SECTIONS = ("algorithm", "sampling", "optimizer", "schedule", "rollout", "validation")
"""Sections whose settings are hyperparameters; no two of them have a name in common."""
KEYS: Mapping[str, str] = {
    key.rpartition(".")[2]: key
    for key in known_keys()
    if key.partition(".")[0] in SECTIONS or key in ("run.seed", "run.deterministic")
}
"""Dotted key of every hyperparameter."""


class Hyperparameters:
    """The hyperparameters of a run; attributes are checked for type and range as they are set.

    Example::

        trainer.hyperparameters.group_size = 4
        trainer.hyperparameters.get_info("group_size").expectation      # "int, >= 2"
    """

    _recipe: Path | None
    _overrides: tuple[str, ...]
    _start: ResolvedConfig
    _given: dict[str, Any]

    def __init__(self, recipe: Path | None, overrides: Sequence[str]) -> None:
        """Start from a run.toml and overrides; raises ConfigError when they are wrong."""
        object.__setattr__(self, "_recipe", recipe)
        object.__setattr__(self, "_overrides", tuple(overrides))
        object.__setattr__(self, "_start", resolve(recipe, overrides))
        object.__setattr__(self, "_given", {})

    @property
    def settings(self) -> tuple[str, ...]:
        """Everything that is not the recipe's, as arguments of ``turnwright train``."""
        return (*self._overrides, *(as_override(key, value) for key, value in self._given.items()))

    def resolve(self) -> ResolvedConfig:
        """Return the whole configuration; raises ConfigError for values that do not go together."""
        return resolve(self._recipe, self.settings)

    def get_info(self, name: str) -> Setting:
        """Return value, source, default, type with range, and meaning of one hyperparameter."""
        key = _key(name)
        info = self._start.get_info(key)
        return replace(info, value=self._given[key], source="attribute") if key in self._given else info

    def to_dict(self) -> dict[str, Any]:
        """Return the value of every hyperparameter by name."""
        return {name: self.get_info(name).value for name in KEYS}

    def __getattr__(self, name: str) -> Any:
        """Return the value of a hyperparameter."""
        return self.get_info(name).value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a hyperparameter.

        Values that must fit each other are checked together, when the run is resolved.

        Raises:
            AttributeError: There is none of that name.
            ConfigError: The value has the wrong type or lies outside its range.
        """
        key = _key(name)
        model: type[BaseModel] = type(getattr(self._start.config, key.partition(".")[0]))
        try:
            model.model_validate({name: value})
        except ValidationError as error:
            info = self.get_info(name)
            raise ConfigError(f"{key} = {value!r}: expected {info.expectation}. {info.description}") from error
        self._given[key] = value

    def __dir__(self) -> list[str]:
        """Return methods and hyperparameters."""
        return [*super().__dir__(), *KEYS]


def as_override(key: str, value: Any) -> str:
    """Return an assignment as the command line takes it.

    >>> as_override("model.path", "my policy"), as_override("schedule.max_epochs", None)
    ('model.path="my policy"', 'schedule.max_epochs=none')
    """
    return f"{key}=none" if value is None else f"{key}={_toml(value)}"


def _toml(value: Any) -> str:
    """Return a TOML literal; TOML and JSON agree but for tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    if name not in KEYS:
        raise AttributeError(f"there is no hyperparameter {name!r}; there are: {', '.join(KEYS)}")
    return KEYS[name]
