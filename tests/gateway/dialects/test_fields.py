import math

import pytest

from turnwright.gateway.dialects.fields import Fields, describe
from turnwright.gateway.refusals import Refusal


def refusal_of(read):
    with pytest.raises(Refusal) as caught:
        read()
    assert caught.value.code == "validation"
    return str(caught.value), caught.value.field


def test_null_and_absent_are_the_same():
    fields = Fields({"a": None})
    for name in ("a", "b"):
        assert fields.text(name) is None
        assert fields.flag(name) is False
        assert fields.number(name, 0, 1) is None
        assert fields.integer(name, 0, 1) is None
        assert fields.nested(name) is None
        assert fields.entries(name) == ()
        assert list(fields.objects(name)) == []
        assert fields.texts(name) == ()


def test_an_error_names_the_path_the_value_and_what_was_expected():
    body = Fields({"messages": [{"content": "x"}, {"content": [{"type": 7}]}]})
    parts = list(list(body.objects("messages"))[1].objects("content"))
    text, field = refusal_of(lambda: parts[0].text("type"))
    assert field == "messages[1].content[0].type"
    assert text == "messages[1].content[0].type must be a string: got 7"


def test_an_entry_that_is_no_object_is_named_by_its_place():
    assert refusal_of(lambda: list(Fields({"tools": [{}, 3]}).objects("tools")))[1] == "tools[1]"
    assert refusal_of(lambda: Fields({"stop": ["a", None]}).texts("stop"))[1] == "stop[1]"


def test_the_cure_follows_the_complaint():
    text = str(Fields({"n": 2}).refuse("n", "1", "make two calls"))
    assert text == "n must be 1: got 2; make two calls"
    assert str(Fields({}).refuse("n", "1")) == "n must be 1: got nothing"


@pytest.mark.parametrize("value", [True, "1", -0.1, 2.1, [1], {}, math.nan, math.inf, 10**400])
def test_numbers_out_of_range_or_of_another_type(value):
    assert refusal_of(lambda: Fields({"temperature": value}).number("temperature", 0, 2))[1] == "temperature"


def test_numbers_at_the_bounds():
    assert Fields({"p": 0}).number("p", 0, 1) == 0.0
    assert Fields({"p": 1}).number("p", 0, 1) == 1.0
    text, _ = refusal_of(lambda: Fields({"p": 0}).number("p", 0, 1, above_low=True))
    assert text == "p must be a number above 0 and at most 1: got 0"


@pytest.mark.parametrize("value", [True, 0, 2**31, 1.5, "5", math.inf])
def test_whole_numbers_out_of_range_or_of_another_type(value):
    refusal_of(lambda: Fields({"n": value}).integer("n", 1, 2**31 - 1))


def test_a_whole_float_is_a_whole_number():
    value = Fields({"n": 5.0}).integer("n", 1, 9)
    assert value == 5
    assert isinstance(value, int)


@pytest.mark.parametrize(
    ("read", "value"),
    [("text", 1), ("flag", 1), ("flag", "true"), ("nested", []), ("entries", {}), ("required_text", "")],
)
def test_wrong_types(read, value):
    assert refusal_of(lambda: getattr(Fields({"x": value}), read)("x"))[1] == "x"


def test_names_beyond_are_few_short_and_sorted():
    fields = Fields({"b": 1, "a": 1, "none": None, "known": 1, "z" * 500: 1} | {f"x{i}": 1 for i in range(100)})
    names = fields.names_beyond({"known"})
    assert names[:3] == ("a", "b", "x0")
    assert len(names) == 32
    assert len(Fields({"z" * 500: 1}).names_beyond(())[0]) == 80


def test_descriptions_are_short_whatever_the_value():
    shown = [describe(v) for v in (None, True, False, "x" * 999, {"a": 1}, [1, 2], 1.5, 10**5000)]
    assert shown[:3] == ["null", "true", "false"]
    assert shown[4:7] == ["an object with 1 fields", "a list of 2", "1.5"]
    assert all(len(text) < 90 for text in shown)
