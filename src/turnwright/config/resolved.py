"""ResolvedConfig: a configuration that knows where each of its values came from."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from turnwright.config.problems import explain, known_keys
from turnwright.config.run import RunConfig
from turnwright.core.errors import ConfigError

DEFAULT = "default"
WIDEST = 60
"""Characters that a column of the table is padded to; a longer value pushes its own line alone."""
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value of a run, with what is known of it."""

    key: str
    """Dotted, such as "algorithm.group_size"."""
    value: Any
    source: str
    """"default", the name of the file, "override" or "argument"."""
    default: Any
    expectation: str
    """Type and range, such as "int, >= 2"."""
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedConfig:
    """A validated configuration and the source of every value that is not a default."""

    config: RunConfig
    sources: Mapping[str, str]
    """Source by dotted key; keys that are absent have their default."""

    def settings(self) -> tuple[Setting, ...]:
        """Every value, in the order of the sections."""
        return tuple(self._setting(key) for key in known_keys())

    def get_info(self, name: str) -> Setting:
        """Return what is known of one setting, named in full or, where that is unique, by its last part."""
        matches = [key for key in known_keys() if name in (key, key.rpartition(".")[2])]
        if len(matches) != 1:
            found = f"it could be {' or '.join(matches)}" if matches else "there is none of that name"
            raise ConfigError(f"setting {name!r} is not one setting: {found}")
        return self._setting(matches[0])

    def describe(self) -> str:
        """Return the table that ``--dry-run`` prints: every value and where it came from."""
        rows = [(setting.key, as_text(setting.value), setting.source) for setting in self.settings()]
        widths = [min(WIDEST, max(len(row[column]) for row in rows)) for column in range(2)]
        return "\n".join(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {source}" for key, value, source in rows)

    def to_json(self) -> str:
        """Return ``{key: {"value": ..., "source": ...}}``, the text of ``config.resolved.json``."""
        return json.dumps({s.key: {"value": s.value, "source": s.source} for s in self.settings()}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ResolvedConfig":
        """Read what ``to_json`` wrote; raises ConfigError when it no longer validates."""
        values: dict[str, dict[str, Any]] = {}
        sources: dict[str, str] = {}
        for key, entry in json.loads(text).items():
            section, _, name = key.partition(".")
            values.setdefault(section, {})[name] = entry["value"]
            if entry["source"] != DEFAULT:
                sources[key] = entry["source"]
        return cls(config=validate(values), sources=sources)

    def _setting(self, key: str) -> Setting:
        section, _, name = key.partition(".")
        model: BaseModel = getattr(self.config, section)
        field = type(model).model_fields[name]
        return Setting(
            key=key,
            value=model.model_dump(include={name})[name],
            source=self._source(key),
            default=None if field.is_required() else field.get_default(call_default_factory=True),
            expectation=expectation(field),
            description=field.description or "",
        )

    def _source(self, key: str) -> str:
        inner = [source for name, source in self.sources.items() if name == key or name.startswith(f"{key}.")]
        return " + ".join(dict.fromkeys(inner)) or DEFAULT


def validate(values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration, or raise ConfigError with one line per problem."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None


def as_text(value: Any) -> str:
    """Return a value as one would write it in an override.

    >>> as_text({"returns": {"weight": 2.0, "scorer": None}})
    '{returns = {weight = 2.0, scorer = "none"}}'
    """
    if value is None:
        return "none"
    return value if isinstance(value, str) else _as_toml(value)


def _as_toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, Mapping):
        table = cast(Mapping[str, Any], value)
        entries = [f"{_as_key(key)} = {_as_toml(inner)}" for key, inner in table.items()]
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_toml, cast(Sequence[Any], value)))}]"
    return json.dumps(value)


def _as_key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else json.dumps(key)


def expectation(field: FieldInfo) -> str:
    """Return type and range of a setting in words, such as "int, >= 2"."""
    return ", ".join(_constraints(field))


def _constraints(field: FieldInfo) -> Iterator[str]:
    yield _type_name(field.annotation)
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    for constraint in field.metadata:
        for name, sign in signs.items():
            if (bound := getattr(constraint, name, None)) is not None:
                yield f"{sign} {bound:g}"


def _type_name(annotation: Any) -> str:
    inner = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is Annotated:
        return _type_name(inner[0])
    if origin is tuple:
        return f"list of {_type_name(inner[0])}"
    if origin is dict:
        return "table"
    if inner:
        return " or ".join(map(_type_name, inner))
    return "none" if annotation is NoneType else annotation.__name__
