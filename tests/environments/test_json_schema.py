"""Arguments against schemas as servers write them: words of our own, and the same verdict as a whole validator."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwright.environments.json_schema import fits, object_problems


def of(rule: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": rule}, **more}


ADDRESS = {"type": "object", "properties": {"city": {"type": "string", "minLength": 2}}, "required": ["city"]}
TREE = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}, "leaf": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "value", "problems"),
    [
        (of({"type": ["string", "null"]}), None, []),
        (of({"type": ["string", "null"]}), 1, ["Argument x must be string or null"]),
        (
            of({"type": "integer", "minimum": 1, "maximum": 9}),
            0,
            ["Argument x must be integer of at least 1 and of at most 9"],
        ),
        (of({"type": "number", "exclusiveMinimum": 0}), 0, ["Argument x must be number above 0"]),
        (of({"type": "number", "minimum": 0, "exclusiveMinimum": True}), 0, []),
        (of({"type": "string", "pattern": "^O[0-9]$"}), "K1", ["Argument x must be string that matches ^O[0-9]$"]),
        (of({"type": "string", "pattern": "(?<a"}), "K1", []),
        (of({"const": "eu"}), "us", ['Argument x must be "eu"']),
        (of({"enum": [1, "a"]}), True, ['Argument x must be one of 1, "a"']),
        (of({"oneOf": [{"type": "integer"}, {"const": "all"}]}), "none", ['Argument x must be integer or "all"']),
        (of({"allOf": [{"type": "integer"}, {"minimum": 3}]}), 2, ["Argument x must be a JSON value"]),
        (
            of({"type": "array", "items": {"type": "integer"}, "maxItems": 1}),
            [1, 2],
            ["Argument x must be array of integer of at most 1 items"],
        ),
        (
            of({"$ref": "#/$defs/Address"}, **{"$defs": {"Address": ADDRESS}}),
            {"city": "A"},
            ["Argument x.city must be string of at least 2 characters"],
        ),
        (of({"$ref": "#/$defs/Address"}, **{"$defs": {"Address": ADDRESS}}), {}, ["Missing required argument: x.city"]),
        (
            of({"$ref": "#/$defs/Tree"}, **{"$defs": {"Tree": TREE}}),
            {"left": {"left": {"leaf": "a"}}},
            ["Argument x.left.left.leaf must be integer"],
        ),
        (of({"$ref": "#/$defs/Nowhere"}), 3, []),
        (of({"$ref": "https://example.com/schema"}), 3, []),
        (of({"$ref": "#/properties/x"}), 3, []),
        (of({"type": "date"}), 3, []),
        (of(False), 3, ["Argument x must be a JSON value"]),
        (
            of({"type": "object", "additionalProperties": {"type": "integer"}}),
            {"a": "b"},
            ["Argument x must be object"],
        ),
    ],
)
def test_problems_are_said_in_words(schema: dict[str, Any], value: Any, problems: list[str]) -> None:
    assert object_problems({"x": value}, schema) == problems


def test_unknown_names_are_refused_unless_the_schema_allows_them() -> None:
    assert object_problems({"y": 1}, of({})) == ["Unknown argument: y"]
    assert object_problems({"y": 1}, of({}, additionalProperties=True)) == []
    assert object_problems({"y": "1"}, of({}, additionalProperties={"type": "integer"})) == [
        "Argument y must be integer"
    ]
    patterned = of({}, additionalProperties=False, patternProperties={"^y": {}})
    assert object_problems({"y": 1, "z": 2}, patterned) == ["Unknown argument: z"]


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab", "abc"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(SCALARS, min_size=1, max_size=3),
        "const": SCALARS,
        "minimum": st.integers(-2, 2),
        "exclusiveMaximum": st.integers(-2, 2),
        "minLength": st.integers(0, 2),
        "pattern": st.sampled_from(["^a", "b$", "c"]),
        "maxItems": st.integers(0, 2),
        "required": st.lists(st.sampled_from("xyz"), max_size=2, unique=True),
        "$ref": st.sampled_from(["#/$defs/node", "#/$defs/text"]),
    },
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "items": inner,
            "properties": st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
            "additionalProperties": st.booleans() | inner,
            "type": TYPES,
        },
    ),
    max_leaves=5,
)
DEFINITIONS = {
    "node": {"type": "object", "properties": {"x": {"$ref": "#/$defs/node"}}},
    "text": {"type": ["string", "null"], "minLength": 1},
}


@pytest.mark.slow
@settings(max_examples=100)
@given(schema=SCHEMAS, value=VALUES)
def test_verdict_is_that_of_a_whole_validator(schema: dict[str, Any], value: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra turnwright[mcp]")
    root = {**schema, "$defs": DEFINITIONS}
    assert fits(value, root, root) is jsonschema.Draft202012Validator(root).is_valid(value)
