"""Tools: from a Python function to what the policy is told, and from what the policy wrote back to arguments.

``@tool`` only marks a method. Its ``ToolSpec`` follows from signature and docstring, whose first paragraph
describes the tool and whose google-style section of arguments describes these::

    @tool
    def lookup(self, order: int, region: Literal["eu", "us"] = "eu") -> str:
        '''Return the city an order ships to.'''

Types that can be told in JSON Schema are str, int, float, bool, list[...], Literal[...] and ``... | None``.
Arguments are checked strictly: a string is never read as a number, and missing and unknown names are errors.
"""

import inspect
import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.message import ToolSpec
from turnwright.environments.json_schema import missing_problems, object_problems

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

MARK = "__turnwright_tool__"
SCALARS: Mapping[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
SUPPORTED = "str, int, float, bool, list[...], Literal[...] or '... | None'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool of an environment; shared by all its episodes, so it holds no state."""

    spec: ToolSpec
    function: Callable[..., Any]
    """Called with the environment of the episode, then the arguments as keywords; may be a coroutine function."""
    strict: bool = True
    """Check types and refuse unknown names; otherwise only ask that required arguments are present."""


def tool(function: AnyFunction) -> AnyFunction:
    """Mark a method of an environment as a tool; the method itself stays as it is."""
    setattr(function, MARK, True)
    return function


@cache
def tools_of(environment_class: type) -> Mapping[str, Tool]:
    """Return the ``@tool`` methods of a class, base classes first, in the order they are written.

    Raises EnvironmentLoadError when a signature cannot be told in JSON Schema.
    """
    found: dict[str, Tool] = {}
    for base in reversed(environment_class.__mro__):
        for name, member in vars(base).items():
            if getattr(member, MARK, False):
                found[name] = Tool(spec=tool_spec(member), function=member)
            else:
                found.pop(name, None)
    return found


def tool_spec(function: Callable[..., Any]) -> ToolSpec:
    """Derive a tool's name, description and argument schema from a method."""
    name = function.__name__
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise EnvironmentLoadError(f"tool {name!r}: its annotations do not resolve: {error}") from error
    summary, descriptions = _read_docstring(inspect.getdoc(function) or "")
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise EnvironmentLoadError(f"tool {name!r}: {parameter} cannot be offered: give each argument a name")
        schema = _json_schema(hints.get(parameter.name), where=f"tool {name!r}, argument {parameter.name!r}")
        if parameter.name in descriptions:
            schema["description"] = descriptions[parameter.name]
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        else:
            schema["default"] = parameter.default
        properties[parameter.name] = schema
    return ToolSpec(
        name=name,
        description=summary,
        parameters={"type": "object", "properties": properties, "required": required},
    )


def parse_arguments(text: str) -> dict[str, Any]:
    """Read the arguments the policy wrote; no text means no arguments.

    Raises ValueError, in words for the policy, when the text is not one JSON object.
    """
    if not text.strip():
        return {}
    try:
        arguments = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:
            # A lone surrogate is legal JSON but no text: an answer that quotes it could not be encoded.
            json.dumps(arguments, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"arguments are not valid JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ValueError("arguments must be a JSON object")
    return cast("dict[str, Any]", arguments)


def argument_problems(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """Say, in words for the policy, what keeps ``arguments`` from being a call of ``tool``."""
    check = object_problems if tool.strict else missing_problems
    return check(arguments, tool.spec.parameters)


def answer_text(result: object) -> str:
    """Return a tool's result as the text of its message: strings verbatim, anything else as one line of JSON.

    Raises TypeError or ValueError when the result is not JSON.
    """
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, allow_nan=False)


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return the first paragraph and the descriptions under ``Args:``."""
    summary = " ".join(text.split("\n\n", 1)[0].split())
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", text, re.MULTILINE)
    descriptions: dict[str, str] = {}
    if section:
        body = inspect.cleandoc("\n" + section.group(1))
        for entry in re.split(r"\n(?=\S)", body):
            name, colon, description = entry.partition(":")
            if colon:
                # "order (int): ..." is also google style; the type is known from the signature.
                descriptions[name.split("(")[0].strip()] = " ".join(description.split())
    return summary, descriptions


def _json_schema(annotation: Any, *, where: str) -> dict[str, Any]:
    if annotation in SCALARS:
        return {"type": SCALARS[annotation]}
    if annotation is list:
        return {"type": "array"}
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is list:
        return {"type": "array", "items": _json_schema(inner[0], where=where)}
    if origin is Literal:
        kinds = {SCALARS.get(type(value)) for value in inner}
        if len(kinds) == 1 and None not in kinds:
            return {"type": kinds.pop(), "enum": list(inner)}
    if origin in (Union, types.UnionType):
        choices = [_json_schema(choice, where=where) for choice in inner if choice is not type(None)]
        return {"anyOf": [*choices, {"type": "null"}] if len(choices) < len(inner) else choices}
    told = "no type" if annotation is None else f"type {annotation!r}"
    raise EnvironmentLoadError(f"{where} has {told}, which the policy cannot be told: annotate it as {SUPPORTED}")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
