"""From a signature to what the policy is told, and from what it wrote to arguments."""

import contextlib
import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.errors import EnvironmentLoadError
from turnwright.environments import tool
from turnwright.environments.tools import (
    Tool,
    answer_text,
    argument_problems,
    parse_arguments,
    tool_spec,
    tools_of,
)


def ship(
    self: object,
    order: int,
    to: Literal["eu", "us"],
    *,
    weights: list[float],
    fragile: bool = False,
    note: str | None = None,
) -> str:
    """Ship an order
    today.

    More that the policy need not read.

    Args:
        order: Number of the order.
        to (str): Where it goes,
            as a region.

    Returns:
        Nothing of interest.
    """
    return ""


SHIP = Tool(spec=tool_spec(ship), function=ship)
VALID: dict[str, Any] = {"order": 3, "to": "eu", "weights": [1, 2.5]}


def test_spec_follows_signature_and_docstring() -> None:
    assert SHIP.spec.name == "ship"
    assert SHIP.spec.description == "Ship an order today."
    assert SHIP.spec.parameters == {
        "type": "object",
        "properties": {
            "order": {"type": "integer", "description": "Number of the order."},
            "to": {"type": "string", "enum": ["eu", "us"], "description": "Where it goes, as a region."},
            "weights": {"type": "array", "items": {"type": "number"}},
            "fragile": {"type": "boolean", "default": False},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["order", "to", "weights"],
    }
    json.dumps(SHIP.spec.parameters)


def untyped(self: object, order) -> str:  # type: ignore[no-untyped-def]
    return str(order)


def mapping(self: object, order: dict[str, int]) -> str:
    return str(order)


def many(self: object, *orders: int) -> str:
    return str(orders)


def unresolved(self: object, order: "Nowhere") -> str:  # type: ignore[name-defined]  # noqa: F821
    return str(order)


@pytest.mark.parametrize(
    ("function", "named"),
    [(untyped, "'order' has no type"), (mapping, "dict"), (many, "orders"), (unresolved, "Nowhere")],
)
def test_signature_that_cannot_be_told_is_refused_by_name(function: Callable[..., Any], named: str) -> None:
    with pytest.raises(EnvironmentLoadError, match=named) as caught:
        tool_spec(function)
    assert function.__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"note": None}, None),
        ({"note": "soon", "fragile": True}, None),
        ({"order": "3"}, "Argument order must be integer"),
        ({"order": 3.0}, "Argument order must be integer"),
        ({"order": True}, "Argument order must be integer"),
        ({"to": "mars"}, 'Argument to must be one of "eu", "us"'),
        ({"weights": [1, "2"]}, "Argument weights must be array of number"),
        ({"weights": 1}, "Argument weights must be array of number"),
        ({"fragile": 1}, "Argument fragile must be boolean"),
        ({"note": 1}, "Argument note must be string or null"),
        ({"colour": "red"}, "Unknown argument: colour"),
    ],
)
def test_arguments_are_checked_strictly(change: dict[str, Any], problem: str | None) -> None:
    assert argument_problems(SHIP, VALID | change) == ([problem] if problem else [])


def test_every_missing_argument_is_named() -> None:
    assert argument_problems(SHIP, {"to": "eu"}) == [
        "Missing required argument: order",
        "Missing required argument: weights",
    ]


def test_lenient_tool_only_asks_for_presence() -> None:
    lenient = Tool(spec=SHIP.spec, function=ship, strict=False)
    assert argument_problems(lenient, VALID | {"order": "3", "colour": "red"}) == []
    assert argument_problems(lenient, {"order": 1, "to": 2}) == ["Missing required argument: weights"]


class Base:
    @tool
    def first(self) -> str:
        """First."""
        return "first"

    @tool
    def second(self) -> str:
        """Second."""
        return "second"


class Derived(Base):
    @tool
    def second(self, order: int) -> str:
        """Second, with an order."""
        return "second"

    first = None  # type: ignore[assignment]


def test_subclass_replaces_and_withdraws_tools() -> None:
    assert list(tools_of(Base)) == ["first", "second"]
    assert list(tools_of(Derived)) == ["second"]
    assert tools_of(Derived)["second"].spec.parameters["required"] == ["order"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{order: 3}", "not valid JSON"),
        ('{"order": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"order": "\\ud800"}', "not valid JSON"),
        ('{"order": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[3]", "must be a JSON object"),
        ("null", "must be a JSON object"),
    ],
)
def test_unreadable_arguments_are_refused_in_words(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse_arguments(text)


def test_no_text_means_no_arguments() -> None:
    assert parse_arguments(" ") == {}


@given(st.text())
def test_any_text_is_read_or_refused_and_never_breaks(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_arguments(text), dict)


def test_result_is_text_verbatim_or_one_line_of_json() -> None:
    assert answer_text('say "hi"\n') == 'say "hi"\n'
    assert answer_text({"customer": "C4", "city": "Köln"}) == '{"customer": "C4", "city": "Köln"}'
    with pytest.raises(ValueError, match="JSON compliant"):
        answer_text(float("nan"))
