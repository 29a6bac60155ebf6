"""Every spelling of the same arguments has one key, and other arguments have another."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwright.core.message import ToolSpec
from turnwright.environments.recorded.keys import (
    canonical_arguments,
    completed,
    edit_distance,
    nearest_key,
)
from turnwright.environments.tools import parse_arguments

SPEC = ToolSpec(
    name="ship",
    description="Ship it.",
    parameters={
        "type": "object",
        "properties": {
            "order": {"type": "integer"},
            "weight": {"type": "number"},
            "note": {"type": "string"},
            "limits": {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
            "place": {"type": "object", "properties": {"height": {"type": ["number", "null"]}, "code": {}}},
            "region": {"type": "string", "default": "eu"},
        },
        "required": ["order"],
    },
)
NUMBERS = st.one_of(st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False))
# Texts that look like something else stay texts.
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8")), st.sampled_from(["1", "1.0", "true", "null", " 1", "é", "e\u0301"])
)
ARGUMENTS = st.fixed_dictionaries(
    {"order": st.integers(-(10**18), 10**18)},
    optional={
        "weight": NUMBERS,
        "note": TEXTS,
        "limits": st.lists(st.one_of(NUMBERS, st.none()), max_size=3),
        "place": st.fixed_dictionaries({"height": NUMBERS, "code": TEXTS}),
        "region": st.sampled_from(["eu", "us"]),
    },
)


def spelled_otherwise(arguments: dict[str, Any], draw: Callable[..., Any]) -> str:
    """Return the same arguments as a policy may also write them."""
    names = draw(st.permutations(list(arguments)))
    other = {name: _respelled(arguments[name], draw) for name in names}
    if other.get("region") == "eu" and draw(st.booleans()):
        del other["region"]
    return json.dumps(other, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 0, 2])))


def _respelled(value: Any, draw: Callable[..., Any]) -> Any:
    if isinstance(value, int) and int(float(value)) == value and draw(st.booleans()):
        return float(value)
    if isinstance(value, float) and value.is_integer() and draw(st.booleans()):
        return int(value)
    if isinstance(value, list):
        return [_respelled(item, draw) for item in value]
    if isinstance(value, dict):
        return {name: _respelled(value[name], draw) for name in draw(st.permutations(list(value)))}
    return value


@settings(max_examples=60)
@given(ARGUMENTS, st.data())
def test_every_spelling_has_one_key(arguments: dict[str, Any], data: st.DataObject) -> None:
    key = canonical_arguments(SPEC, arguments)
    assert canonical_arguments(SPEC, parse_arguments(spelled_otherwise(arguments, data.draw))) == key
    assert canonical_arguments(SPEC, json.loads(key)) == key


@settings(max_examples=60)
@given(ARGUMENTS, ARGUMENTS)
def test_arguments_that_differ_have_keys_that_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = completed(SPEC, one) == completed(SPEC, other)
    assert (canonical_arguments(SPEC, one) == canonical_arguments(SPEC, other)) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"note": "1"}, {"note": "1.0"}),
        ({"note": "Oslo"}, {"note": "oslo"}),
        ({"note": "\u00e9"}, {"note": "e\u0301"}),
        ({"place": {"code": 1}}, {"place": {"code": 1.0}}),
        ({"place": {"code": 1}}, {"place": {"code": True}}),
        ({"weight": 2**53}, {"weight": 2**53 + 1}),
        ({"limits": [1, 2]}, {"limits": [2, 1]}),
    ],
)
def test_what_only_looks_alike_stays_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert canonical_arguments(SPEC, one) != canonical_arguments(SPEC, other)


def test_key_is_compact_json_with_defaults() -> None:
    arguments = {"weight": -0.0, "note": "K\u00f6ln", "order": 3, "limits": [2.0, 2.5, None]}
    expected = '{"limits":[2,2.5,null],"note":"K\u00f6ln","order":3,"region":"eu","weight":0}'
    assert canonical_arguments(SPEC, arguments) == expected


def test_infinite_number_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_arguments(SPEC, parse_arguments('{"order": 1, "weight": 1e999}'))


def table_distance(one: str, other: str) -> int:
    """The textbook's table, row by row."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, start=1):
        above, row = row, [number]
        for column, second in enumerate(other, start=1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (letter != second)))
    return row[-1]


LETTERS = st.text("ab\u00e9{", max_size=12)


@settings(max_examples=60)
@given(LETTERS, LETTERS)
def test_edit_distance_equals_the_textbook(one: str, other: str) -> None:
    assert edit_distance(one, other) == table_distance(one, other)


def test_edit_distance_of_long_texts() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("a" * 300, "b" + "a" * 298) == 2


@settings(max_examples=60)
@given(LETTERS, st.lists(LETTERS, max_size=8))
def test_nearest_key_has_the_smallest_distance(key: str, recorded: list[str]) -> None:
    near = nearest_key(key, recorded)
    if near is None:
        assert not recorded
    else:
        assert near.distance == edit_distance(key, near.key) == min(edit_distance(key, other) for other in recorded)


@pytest.mark.slow
def test_search_is_bounded_whatever_a_policy_writes() -> None:
    recorded = {f'{{"order":{number:06}}}' for number in range(40_000)} | {"x" * 100_000}
    started = time.process_time()
    near = nearest_key("y" * 1_000_000, recorded)
    assert near is not None
    # Without a bound this takes minutes.
    assert time.process_time() - started < 10
