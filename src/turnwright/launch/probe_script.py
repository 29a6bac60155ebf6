"""The probe's policy: replies that show how an agent treats what a real policy will write.

    call with tools:     a call of the first tool -> a call that is no JSON -> a call of an unknown tool -> an answer
    call without tools:  an answer

Every reply names its rollout, so that one which turns up in another rollout's conversation is noticed. The first reply
thinks before it speaks: clients that drop the reasoning of earlier replies show by it.

The texts are in the format of the shipped policy, whose tokenizer the probe always uses.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from turnwright.core.episode import EpisodeKey
from turnwright.core.message import ToolSpec
from turnwright.inference.base import GenerationRequest

UNKNOWN_TOOL = "tool_that_does_not_exist"
_DEEPEST = 12
"""Schemas may refer to themselves."""
_MOST = 1000
"""Items of a list and letters of a text, whatever a schema demands."""
_FORMATS: Mapping[str, str] = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "probe@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
}


class ProbeScript:
    """A Script for ScriptedEngine."""

    def __init__(self, tools_of_call: Callable[[], Sequence[ToolSpec]]) -> None:
        """Start with nothing said.

        Args:
            tools_of_call: Returns the tools of the model call that is being answered.
        """
        self._tools_of_call = tools_of_call
        self._num_tool_replies = Counter[EpisodeKey]()

    def __call__(self, request: GenerationRequest) -> str:
        """Return the text of the next reply."""
        mark = rollout_mark(request.key)
        thought = f"<think>I begin {mark}.</think>" if request.turn == 0 else ""
        tools = self._tools_of_call()
        done = self._num_tool_replies[request.key]
        if not tools or done == 3:
            return f"{thought}This is scripted answer {request.turn + 1} of {mark}."
        self._num_tool_replies[request.key] += 1
        if done == 0:
            call = _call(tools[0].name, minimal_arguments(tools[0].parameters))
        elif done == 1:
            call = f'{{"name": "{tools[0].name}", "arguments": {{"cut off'
        else:
            call = _call(UNKNOWN_TOOL, {})
        return f"{thought}I call a tool in {mark}.<tool_call>{call}</tool_call>"


def rollout_mark(key: EpisodeKey) -> str:
    """Return the words by which a rollout's replies are told from those of others."""
    return f"probe rollout {key.attempt + 1}"


def minimal_arguments(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments that a tool's JSON Schema accepts, with nothing that it does not require.

    Patterns are not followed, and of alternatives the first one that is not null is taken.

    >>> minimal_arguments({"properties": {"order": {"type": "string"}, "note": {}}, "required": ["order"]})
    {'order': 'probe'}
    """
    value = _value({"type": "object", **schema}, schema, 0)
    return value if isinstance(value, dict) else {}


def _value(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return "probe"
    schema = _merged(schema, root, depth)
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    for name in ("enum", "examples"):
        if schema.get(name):
            return schema[name][0]
    for name in ("anyOf", "oneOf"):
        choices = schema.get(name) or ()
        chosen = next((choice for choice in choices if not _is_null(choice)), None)
        if chosen is not None:
            rest = {key: value for key, value in schema.items() if key != name}
            return _value({**rest, **chosen}, root, depth + 1)
    match _type_of(schema):
        case "object":
            properties = schema.get("properties") or {}
            required = schema.get("required") or ()
            return {name: _value(properties.get(name), root, depth + 1) for name in required}
        case "array":
            return [_value(schema.get("items"), root, depth + 1)] * min(int(schema.get("minItems", 0)), _MOST)
        case "boolean":
            return False
        case "null":
            return None
        case "integer" | "number" as kind:
            return _number(schema, kind)
        case _:
            return _text(schema)


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """Follow a reference within the schema, and put the parts of ``allOf`` together."""
    if depth > _DEEPEST:
        return {}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target: Any = root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**(_merged(target, root, depth + 1) if isinstance(target, Mapping) else {}), **beside}
    for part in schema.get("allOf") or ():
        more = _merged(part, root, depth + 1)
        properties = {**(schema.get("properties") or {}), **(more.get("properties") or {})}
        required = [*(schema.get("required") or ()), *(more.get("required") or ())]
        schema = {**more, **schema, "properties": properties, "required": required}
    return schema


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def _number(schema: Mapping[str, Any], kind: str) -> float:
    lows = [schema[name] for name in ("minimum", "exclusiveMinimum") if name in schema]
    highs = [schema[name] for name in ("maximum", "exclusiveMaximum") if name in schema]
    if kind == "number" and lows and highs and "multipleOf" not in schema:
        return (max(lows) + min(highs)) / 2
    step = schema.get("multipleOf", 1)
    value = 0
    if lows:
        value = max(
            -(-schema.get("minimum", lows[0]) // step), schema.get("exclusiveMinimum", lows[0] - step) // step + 1
        )
    elif highs:
        top = min(
            schema.get("maximum", highs[0]) // step, -(-schema.get("exclusiveMaximum", highs[0] + step) // step) - 1
        )
        value = min(0, top)
    return int(value * step) if kind == "integer" else value * step


def _text(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), "probe")
    text = text.ljust(min(int(schema.get("minLength", 0)), _MOST), "e")
    return text[: schema["maxLength"]] if "maxLength" in schema else text


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
