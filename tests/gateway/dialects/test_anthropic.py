"""The dialect against the vendor's own types and stream accumulator; requests and replies go both ways unharmed."""

import json
from typing import Any

import anthropic
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer, UsedSampling
from turnwright.gateway.dialects.anthropic import AnthropicMessages
from turnwright.gateway.history import canonical
from turnwright.gateway.refusals import Refusal

DIALECT = AnthropicMessages()
HELLO = {"model": "default", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}
CALL = Message(
    role="assistant",
    content="Let me look.",
    reasoning="which order?",
    tool_calls=(ToolCall(id="call_0_0", name="get_order", arguments='{"order": "O3"}'),),
)


def read(**fields: Any) -> Any:
    return DIALECT.read({**HELLO, **fields}, {})


def answer(message: Message, **fields: Any) -> Answer:
    given: dict[str, Any] = {
        "finish_reason": "stop",
        "turn": 2,
        "created": 0.0,
        "num_prompt_tokens": 7,
        "policy_version": 0,
        "token_ids": (1, 2, 3),
        "logprobs": (-0.1, -0.2, -0.3),
        "used": UsedSampling(temperature=1.0, top_p=1.0, max_tokens=16),
    }
    return Answer(message=message, **{**given, **fields})


def refused(**fields: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(**fields)
    assert caught.value.code == "validation"
    return caught.value


def read_back(message: Message) -> Message:
    body = DIALECT.write(read(), answer(message), "t-1")
    messages = [{"role": "assistant", "content": body["content"]}, {"role": "user", "content": "and?"}]
    return read(messages=json.loads(json.dumps(messages))).call.messages[0]


def streamed(message: Message, deltas: list[ReplyDelta], **fields: Any) -> anthropic.types.Message:
    """Return what the vendor's client builds from the events."""
    writer = DIALECT.stream(read(), 2, 0.0, "t-1")
    events = writer.start()
    for delta in deltas:
        events.extend(writer.delta(delta))
    events.extend(writer.finish(answer(message, **fields)))
    snapshot = None
    buffers: dict[int, bytes] = {}
    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    for event in events:
        name, data = event.decode().removesuffix("\n\n").split("\n")
        parsed = json.loads(data.removeprefix("data: "))
        assert name == f"event: {parsed['type']}"
        snapshot = accumulate_event(
            event=adapter.validate_python(parsed),
            current_snapshot=snapshot,
            json_bufs=buffers,
            output_format=anthropic.NOT_GIVEN,
        )
    assert snapshot is not None
    return snapshot


def test_a_conversation_with_every_kind_of_block_becomes_messages_in_order() -> None:
    call = read(
        system=[{"type": "text", "text": "You are"}, {"type": "text", "text": "brief."}],
        messages=[
            {"role": "user", "content": "order: O3"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "which order?", "signature": ""},
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "call_0_0", "name": "get_order", "input": {"order": "O3"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_0_0", "content": [{"type": "text", "text": "late"}]},
                    {"type": "tool_result", "tool_use_id": "call_9", "is_error": True},
                    {"type": "text", "text": "so,"},
                    {"type": "text", "text": "refund?"},
                ],
            },
        ],
    ).call
    assert call.messages == (
        Message(role="system", content="You are\nbrief."),
        Message(role="user", content="order: O3"),
        CALL,
        Message(role="tool", content="late", tool_call_id="call_0_0", name="get_order"),
        Message(role="tool", tool_call_id="call_9"),
        Message(role="user", content="so,\nrefund?"),
    )
    assert call.ignored == ("is_error",)


def test_a_message_without_blocks_says_nothing() -> None:
    assert read(messages=[{"role": "user", "content": []}]).call.messages == (Message(role="user"),)


def test_sampling_and_tools_are_read() -> None:
    tool = {"name": "get_order", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
    got = read(
        tools=[tool],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        temperature=0.5,
        top_p=0.9,
        stop_sequences=["\n\n"],
        stream=True,
        metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert got.stream
    assert got.wants_logprobs, "the texts of the tokens tell which stop sequence was sampled"
    asked = got.call.asked
    assert (asked.temperature, asked.top_p, asked.max_tokens, asked.stop) == (0.5, 0.9, 16, ("\n\n",))
    assert got.call.tools == (ToolSpec(name="get_order", description="", parameters={"type": "object"}),)
    assert got.call.ignored == ("cache_control", "disable_parallel_tool_use", "metadata", "thinking")


def test_no_tool_may_be_called_when_the_choice_is_none() -> None:
    tools = [{"name": "get_order", "input_schema": {}}]
    assert read(tools=tools, tool_choice={"type": "none"}).call.tools == ()


def test_redacted_thinking_is_left_out_and_named() -> None:
    blocks = [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "ok"}]
    call = read(messages=[{"role": "assistant", "content": blocks}, *HELLO["messages"]]).call
    assert call.messages[0] == Message(role="assistant", content="ok")
    assert call.ignored == ("redacted_thinking",)


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"max_tokens": None}, "max_tokens", "null"),
        ({"max_tokens": 0}, "max_tokens", "got 0"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "'tool'"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "got 7"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].type", "'image'"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text", "nothing"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant"}]}, "messages[1].content", "nothing"),
        ({"messages": [{"role": "assistant", "content": "The answer is ("}]}, "messages[0].role", "prefilled"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type", "'web_search_20250305'"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema", "nothing"),
        ({"tool_choice": {"type": "any"}}, "tool_choice.type", "forced"),
        ({"tool_choice": {"type": "tool", "name": "f"}}, "tool_choice.type", "forced"),
        ({"temperature": 3}, "temperature", "got 3"),
        ({"top_p": -1}, "top_p", "got -1"),
        ({"top_k": 5}, "top_k", "top_p"),
        ({"stop_sequences": [""]}, "stop_sequences", "1 to 256"),
        ({"stop_sequences": ["a"] * 17}, "stop_sequences", "a list of 17"),
        ({"tools": [{"name": "invalid_tool_call", "input_schema": {}}]}, "tools[0].name", "malformed"),
        ({"output_config": {"format": {}}}, "output_config.format", "constrained"),
        ({"mcp_servers": []}, "mcp_servers", "agent"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_path(fields: dict[str, Any], path: str, says: str) -> None:
    refusal = refused(**fields)
    assert refusal.field == path
    assert says in str(refusal)


def test_a_picture_in_a_tool_result_is_refused_by_its_path() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "image", "source": {}}]}
    assert refused(messages=[{"role": "user", "content": [result]}]).field == "messages[0].content[0].content[0].type"


def test_a_reply_validates_against_the_vendors_own_type() -> None:
    body = DIALECT.write(read(model="my-model"), answer(CALL), "t-1")
    message = anthropic.types.Message.model_validate(body, strict=True)
    assert (message.id, message.model, message.stop_reason) == ("msg_t-1_2", "my-model", "tool_use")
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ("end_turn", None)),
        ({"finish_reason": "length"}, ("max_tokens", None)),
        ({"token_texts": ("yes", " B", "A"), "stop": ("A", " B")}, ("stop_sequence", " B")),
        ({"token_texts": ("yes",), "stop": ("A",)}, ("end_turn", None)),
    ],
)
def test_why_a_reply_ended(fields: dict[str, Any], reason: tuple[str, str | None]) -> None:
    used = UsedSampling(temperature=1.0, top_p=1.0, max_tokens=16, stop=fields.pop("stop", ()))
    got = DIALECT.write(read(), answer(Message(role="assistant", content="yes"), used=used, **fields), "t-1")
    assert (got["stop_reason"], got["stop_sequence"]) == reason


def test_the_vendors_client_builds_the_same_message_from_events() -> None:
    deltas = [
        ReplyDelta(kind="reasoning", text="which "),
        ReplyDelta(kind="reasoning", text="order?"),
        ReplyDelta(kind="content", text="Let me "),
        ReplyDelta(kind="content", text="look."),
    ]
    whole = anthropic.types.Message.model_validate(DIALECT.write(read(), answer(CALL), "t-1"))
    got = streamed(CALL, deltas)
    assert got.to_dict(exclude_none=True) == whole.to_dict(exclude_none=True)


def test_an_empty_reply_has_one_empty_text_block_streamed_or_not() -> None:
    empty = Message(role="assistant")
    assert DIALECT.write(read(), answer(empty), "t-1")["content"] == [{"type": "text", "text": ""}]
    assert [block.to_dict() for block in streamed(empty, []).content] == [{"type": "text", "text": ""}]


def test_an_error_has_the_vendors_shape() -> None:
    body = DIALECT.refuse(Refusal("access_denied", "no"))
    assert anthropic.types.ErrorResponse.model_validate(body).error.type == "permission_error"
    assert body["error"]["message"] == "no"
    event = DIALECT.stream(read(), 0, 0.0, "t-1").refuse(Refusal("throttled", "later"))
    assert event[0].startswith(b"event: error\ndata: {")


def test_a_malformed_call_comes_back_as_it_was_written() -> None:
    broken = Message(role="assistant", tool_calls=(ToolCall(id="call_0_0", name="", arguments='{"name": "f", argu'),))
    assert canonical(read_back(broken)) == canonical(broken)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
arguments = st.dictionaries(texts, json_values, max_size=3).map(lambda value: json.dumps(value, ensure_ascii=False))
calls = st.builds(
    ToolCall,
    id=st.uuids().map(str),
    name=st.sampled_from(["get_order", "invalid_tool_call", "invalid_tool_call_"]),
    arguments=arguments,
) | st.builds(ToolCall, id=st.uuids().map(str), name=st.just(""), arguments=texts | arguments)
replies = st.builds(
    Message,
    role=st.just("assistant"),
    content=texts,
    reasoning=texts,
    tool_calls=st.lists(calls, max_size=3).map(tuple),
)


@pytest.mark.slow
@settings(max_examples=150)
@given(message=replies)
def test_reading_a_written_reply_gives_the_same_message(message: Message) -> None:
    assert canonical(read_back(message)) == canonical(message)


@pytest.mark.slow
@settings(max_examples=100)
@given(message=replies)
def test_streamed_and_whole_replies_say_the_same(message: Message) -> None:
    deltas = [ReplyDelta(kind="reasoning", text=letter) for letter in message.reasoning]
    deltas += [ReplyDelta(kind="content", text=letter) for letter in message.content]
    whole = anthropic.types.Message.model_validate(DIALECT.write(read(), answer(message), "t-1"))
    assert streamed(message, deltas).to_dict(exclude_none=True) == whole.to_dict(exclude_none=True)
