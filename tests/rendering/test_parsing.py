import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.message import Message, ToolCall
from turnwright.rendering.parsing import parse_reply_text, split_reasoning

CALL = '<tool_call>{"name": "get_order", "arguments": {"order": "O3"}}</tool_call>'


def test_plain_text_is_content():
    assert parse_reply_text("refund it", turn=0) == Message(role="assistant", content="refund it")


def test_calls_are_numbered_by_turn_and_position():
    message = parse_reply_text(f"two of them: {CALL}\n{CALL}", turn=3)
    assert message.content == "two of them: "
    assert message.tool_calls == (
        ToolCall(id="call_3_0", name="get_order", arguments='{"order": "O3"}'),
        ToolCall(id="call_3_1", name="get_order", arguments='{"order": "O3"}'),
    )


def test_reasoning_is_cut_from_content():
    message = parse_reply_text(f"<think>\nlook it up\n</think>\n\nyes{CALL}", turn=0)
    assert (message.reasoning, message.content, len(message.tool_calls)) == ("look it up", "yes", 1)


def test_a_call_that_is_only_thought_of_is_no_call():
    assert parse_reply_text(f"<think>{CALL}</think>no", turn=0).tool_calls == ()


def test_reasoning_without_end_takes_everything():
    assert split_reasoning("<think>on and on") == ("on and on", "")


def test_reasoning_opened_by_the_prompt():
    assert split_reasoning("so\n</think>\nyes", thinking=True) == ("so", "\nyes")
    assert split_reasoning("so\n</think>\nyes") == ("", "so\n</think>\nyes")


@pytest.mark.parametrize(
    "body",
    [
        "{not json",
        '["get_order"]',
        '{"arguments": {}}',
        '{"name": "", "arguments": {}}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "f", "arguments": {"x": NaN}}',
        '{"name": "f", "arguments": {"x": "\\ud83d"}}',
        "[" * 100_000,
    ],
)
def test_a_call_that_cannot_be_read_keeps_its_text(body: str):
    (call,) = parse_reply_text(f"<tool_call>{body}</tool_call>", turn=1).tool_calls
    assert call == ToolCall(id="call_1_0", name="", arguments=body)


def test_a_call_that_was_cut_is_malformed_even_if_its_json_is_whole():
    (call,) = parse_reply_text(CALL.removesuffix("</tool_call>"), turn=0).tool_calls
    assert call.name == ""


def test_an_open_call_does_not_swallow_the_next():
    broken, sound = parse_reply_text(f'<tool_call>{{"name": {CALL}', turn=0).tool_calls
    assert (broken.name, broken.arguments, sound.name) == ("", '{"name":', "get_order")


def test_missing_arguments_are_none_given():
    (call,) = parse_reply_text('<tool_call>{"name": "now"}</tool_call>', turn=0).tool_calls
    assert (call.name, call.arguments) == ("now", "{}")


pieces = st.sampled_from(
    ["<think>", "</think>", "<tool_call>", "</tool_call>", '{"name": "f", "arguments": ', "{", "}", "\n"]
)


@given(st.lists(pieces | st.text(max_size=5), max_size=12).map("".join))
def test_any_text_parses_into_text_that_a_tokenizer_can_encode(text: str):
    message = parse_reply_text(text, turn=0)
    for call in message.tool_calls:
        call.arguments.encode()
        assert not call.name or isinstance(json.loads(call.arguments), dict)
