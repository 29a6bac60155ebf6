"""What is wrong with a configuration, in words: key, value, expectation and cure."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from turnwright.config.mixing import Member
from turnwright.config.run import RunConfig

MEMBERS = "environment.mixture."


def known_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key, in the order of the sections."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from known_keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def explain(error: ValidationError) -> str:
    """Return one line per problem of a failed validation."""
    return "\n".join(_explain_one(details) for details in error.errors(include_url=False))


def _explain_one(details: ErrorDetails) -> str:
    key = ".".join(str(part) for part in details["loc"])
    kind = details["type"]
    if kind == "value_error" and (not key or key in RunConfig.model_fields):
        return details["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"unknown setting {key!r}{_suggest(key)}"
    if kind == "missing":
        return f"{key} is missing: {_describe(key)}"
    expectation = details["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{key} = {_show(details['input'])}: expected {expectation}. {_describe(key)}".rstrip()


def _suggest(key: str) -> str:
    """Name the nearest keys: the same name in another section first, then similar spellings."""
    if key.startswith(MEMBERS):
        return f"; a member of a mixture has: {', '.join(Member.model_fields)}"
    keys = [*known_keys(), *RunConfig.model_fields]
    leaf = key.rpartition(".")[2]
    namesakes = [known for known in keys if known.rpartition(".")[2] == leaf]
    by_leaf = {known.rpartition(".")[2]: known for known in keys}
    similar = [by_leaf[match] for match in get_close_matches(leaf, by_leaf, n=2, cutoff=0.7)]
    nearest = namesakes or get_close_matches(key, keys, n=2, cutoff=0.75) or similar
    if nearest:
        return "; did you mean " + " or ".join(repr(match) for match in dict.fromkeys(nearest)) + "?"
    section = key.split(".")[0]
    known = [name for name in keys if name.startswith(f"{section}.")] or list(RunConfig.model_fields)
    return f"; known: {', '.join(known)}"


def _describe(key: str) -> str:
    """Return the docstring of a field, or nothing for a place inside one."""
    if key.startswith(MEMBERS):
        member_field = Member.model_fields.get(key.split(".")[3] if key.count(".") > 2 else "")
        return (member_field.description or "") if member_field else ""
    section, _, name = key.partition(".")
    model = RunConfig.model_fields[section].annotation if section in RunConfig.model_fields else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return ""
    if not name:
        first = next(iter(model.model_fields))
        return f"the section needs {first}, as in {key}.{first}=..."
    field = model.model_fields.get(name.partition(".")[0])
    return (field.description or "") if field else ""


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
