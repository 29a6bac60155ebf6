"""The probe's scripted policy: arguments that a schema accepts, and the order of its replies."""

from collections.abc import Mapping
from typing import Any

import pytest

from turnwright.core.episode import EpisodeKey
from turnwright.core.message import ToolSpec
from turnwright.inference.base import GenerationRequest
from turnwright.launch.probe_script import UNKNOWN_TOOL, ProbeScript, minimal_arguments

ORDER = ToolSpec(
    name="get_order",
    description="",
    parameters={"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
)


def request(turn: int, attempt: int = 0) -> GenerationRequest:
    return GenerationRequest(
        key=EpisodeKey(task_id="probe", attempt=attempt), turn=turn, prompt_token_ids=(1,), max_tokens=9
    )


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "probe"),
        ({"type": "string", "minLength": 8}, "probeeee"),
        ({"type": "string", "maxLength": 3}, "pro"),
        ({"type": "string", "format": "date"}, "2024-01-31"),
        ({"type": "string", "enum": ["red", "blue"]}, "red"),
        ({"const": 4}, 4),
        ({"type": "integer", "default": 7}, 7),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "minimum": 3, "multipleOf": 5}, 5),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": -3}, -4),
        ({"type": "integer", "maximum": 9}, 0),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, 0.5),
        ({"type": "number", "multipleOf": 0.5, "minimum": 0.75}, 1.0),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 0),
        ({"type": "array", "items": {"type": "string"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 2}]}, 2),
        ({"oneOf": [{"type": "boolean"}, {"type": "string"}], "description": "either"}, False),
        ({"$ref": "#/$defs/Colour"}, "red"),
        ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 0}),
        ({"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 0}),
        ({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}], "type": "object"}, {"a": 0}),
        ({}, "probe"),
        (True, "probe"),
    ],
)
def test_required_arguments_satisfy_their_schema(schema: Any, value: object) -> None:
    root: Mapping[str, Any] = {
        "properties": {"x": schema, "unused": {"type": "string"}},
        "required": ["x"],
        "$defs": {"Colour": {"enum": ["red"]}},
    }
    assert minimal_arguments(root) == {"x": value}


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert list(minimal_arguments(node)) == ["next"]
    assert minimal_arguments({"$ref": "#"}) == {}
    assert minimal_arguments({"allOf": [{"$ref": "#"}]}) == {}


def test_a_tool_without_a_schema_is_called_without_arguments() -> None:
    assert minimal_arguments({}) == {}


def test_with_tools_it_calls_well_badly_unknown_and_then_answers() -> None:
    script = ProbeScript(lambda: [ORDER])
    texts = [script(request(turn)) for turn in range(4)]
    assert texts[0] == (
        "<think>I begin probe rollout 1.</think>I call a tool in probe rollout 1."
        '<tool_call>{"name": "get_order", "arguments": {"order": "probe"}}</tool_call>'
    )
    assert texts[1].endswith('<tool_call>{"name": "get_order", "arguments": {"cut off</tool_call>')
    assert UNKNOWN_TOOL in texts[2]
    assert texts[3] == "This is scripted answer 4 of probe rollout 1."


def test_calls_without_tools_are_answered_and_do_not_count() -> None:
    tools: list[ToolSpec] = []
    script = ProbeScript(lambda: tools)
    assert script(request(1)) == "This is scripted answer 2 of probe rollout 1."
    tools.append(ORDER)
    assert '"name": "get_order"' in script(request(2))


def test_every_rollout_begins_anew_and_says_which_it_is() -> None:
    script = ProbeScript(lambda: [ORDER])
    first, second = script(request(0)), script(request(0, attempt=1))
    assert second == first.replace("rollout 1", "rollout 2")
