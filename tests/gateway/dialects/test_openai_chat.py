"""The chat dialect against openai's own types; what it writes, it reads back as the same message."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.http.desk import CALLED, SAID, answer_of, deltas_of
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.gateway.calls import AskedSampling
from turnwright.gateway.dialects.base import ReadCall
from turnwright.gateway.dialects.malformed_calls import INVALID_CALL
from turnwright.gateway.dialects.openai_chat import OpenAIChat
from turnwright.gateway.history import canonical
from turnwright.gateway.refusals import Refusal

DIALECT = OpenAIChat()
HELLO = {"messages": [{"role": "user", "content": "hi"}]}
TOOL = {
    "type": "function",
    "function": {"name": "get_order", "description": "Look up", "parameters": {"type": "object"}},
}
MALFORMED = ToolCall(id="call_2_1", name="", arguments='{"name": "get_order", "arguments": {')


def read(**fields: Any) -> ReadCall:
    return DIALECT.read({**HELLO, **fields}, {})


def messages(*spelled: dict[str, Any]) -> tuple[Message, ...]:
    return read(messages=list(spelled)).call.messages


def refused(**fields: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(**fields)
    assert caught.value.code == "validation"
    return caught.value


def write(message: Message, **fields: Any) -> dict[str, Any]:
    return json.loads(json.dumps(DIALECT.write(read(**fields), answer_of(message), "t-1")))


def stream(message: Message, finish_reason: Any = "stop", **fields: Any) -> list[dict[str, Any]]:
    writer = DIALECT.stream(read(stream=True, **fields), 0, 1_750_000_000.5, "t-1")
    events = writer.start()
    for delta in deltas_of(message):
        events += writer.delta(delta)
    events += writer.finish(answer_of(message, finish_reason=finish_reason))
    assert events[-1] == b"data: [DONE]\n\n"
    for event in events:
        assert event.startswith(b"data: ")
        assert event.endswith(b"\n\n")
        assert event.count(b"\n") == 2
    return [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]


def accumulate(chunks: list[dict[str, Any]]) -> ChatCompletion:
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk, strict=True))
    # The final completion is this, but raises for a reply that was cut.
    return state.current_completion_snapshot


class TestMessages:
    def test_every_role(self):
        assert messages(
            {"role": "developer", "content": "rules"},
            {"role": "system", "content": "more rules"},
            {"role": "user", "content": "hi", "name": "ann"},
            {"role": "assistant", "content": "yes?"},
        ) == (
            Message(role="system", content="rules"),
            Message(role="system", content="more rules"),
            Message(role="user", content="hi"),
            Message(role="assistant", content="yes?"),
        )

    @pytest.mark.parametrize(
        "spelled",
        [
            {},
            {"content": None},
            {"content": ""},
            {"content": [], "refusal": None, "audio": None, "function_call": None, "annotations": []},
        ],
    )
    def test_a_call_without_text_in_every_spelling(self, spelled: dict[str, Any]):
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        expected = Message(role="assistant", tool_calls=(ToolCall(id="c1", name="f", arguments="{}"),))
        assert messages({"role": "assistant", "tool_calls": [call], **spelled}) == (expected,)

    def test_parts_become_one_text(self):
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        assert messages({"role": "user", "content": parts})[0].content == "a\nb"
        # Pieces of a reply are pieces of what was sampled: nothing may come between them.
        more = [*parts, {"type": "refusal", "refusal": "c"}]
        assert messages({"role": "assistant", "content": more})[0].content == "abc"

    def test_a_tool_result_gets_the_name_of_the_call_it_answers(self):
        call = {"id": "c1", "function": {"name": "get_order", "arguments": '{"order":"O3"}'}}
        found = messages(
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "late"}]},
            {"role": "tool", "tool_call_id": "elsewhere", "content": None, "name": "other"},
        )
        assert found[1] == Message(role="tool", content="late", tool_call_id="c1", name="get_order")
        assert found[2] == Message(role="tool", content="", tool_call_id="elsewhere", name="other")

    @pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
    def test_reasoning_under_either_name(self, name: str):
        assert messages({"role": "assistant", "content": "x", name: "hm"})[0].reasoning == "hm"

    @pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "video_url", None, 7])
    def test_a_part_that_is_no_text_is_refused_by_its_place(self, kind: object):
        parts = [{"type": "text", "text": "look"}, {"type": kind, "image_url": {"url": "data:..."}}]
        refusal = refused(messages=[{"role": "user", "content": "hi"}, {"role": "user", "content": parts}])
        assert refusal.field == "messages[1].content[1].type"
        assert "reads text only" in str(refusal)

    @pytest.mark.parametrize(
        ("spelled", "field", "cure"),
        [
            ({"role": "function", "name": "f", "content": "x"}, "messages[0].role", "tool_call_id"),
            ({"role": "robot", "content": "x"}, "messages[0].role", "'robot'"),
            ({"content": "x"}, "messages[0].role", "got nothing"),
            ({"role": ["user"], "content": "x"}, "messages[0].role", "a list of 1"),
            ({"role": "user"}, "messages[0].content", "string"),
            ({"role": "user", "content": None}, "messages[0].content", "null"),
            ({"role": "user", "content": {"text": "x"}}, "messages[0].content", "string"),
            ({"role": "user", "content": ["x"]}, "messages[0].content[0]", "object"),
            ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text", "string"),
            ({"role": "tool", "content": "x"}, "messages[0].tool_call_id", "string"),
            ({"role": "assistant", "function_call": {"name": "f"}}, "messages[0].function_call", "tool_calls"),
            ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "messages[0].tool_calls[0].function", "object"),
            (
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]},
                "messages[0].tool_calls[0].function.arguments",
                "string",
            ),
            (
                {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]},
                "messages[0].tool_calls[0].type",
                "'function'",
            ),
        ],
    )
    def test_what_cannot_be_read_is_named(self, spelled: dict[str, Any], field: str, cure: str):
        refusal = refused(messages=[spelled])
        assert refusal.field == field
        assert cure in str(refusal)

    @pytest.mark.parametrize("spelled", [[], None, "hi", {}, [3]])
    def test_no_messages(self, spelled: object):
        assert str(refused(messages=spelled).field).startswith("messages")


class TestSampling:
    def test_everything_that_is_honoured(self):
        asked = read(temperature=0.5, top_p=0.9, max_tokens=7, stop=["a", "b"], seed=-3).call.asked
        assert asked == AskedSampling(temperature=0.5, top_p=0.9, max_tokens=7, stop=("a", "b"), seed=-3)

    def test_nothing_asked(self):
        got = read(temperature=None, n=1, logit_bias={}, presence_penalty=0, frequency_penalty=0.0, stop=None)
        assert got.call.asked == AskedSampling()
        assert got == ReadCall(call=got.call)

    def test_either_name_of_max_tokens(self):
        assert read(max_completion_tokens=9).call.asked.max_tokens == 9
        assert read(max_completion_tokens=9, max_tokens=9).call.asked.max_tokens == 9
        refusal = refused(max_completion_tokens=9, max_tokens=8)
        assert refusal.field == "max_tokens"
        assert "equal to 'max_completion_tokens' (9)" in str(refusal)

    def test_one_stop_as_a_string(self):
        assert read(stop="END").call.asked.stop == ("END",)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("temperature", 2.5),
            ("temperature", "hot"),
            ("top_p", 0),
            ("top_p", 1.01),
            ("max_tokens", 0),
            ("max_completion_tokens", 1.5),
            ("seed", 2**63),
            ("stop", ["a"] * 5),
            ("stop", ["a", ""]),
            ("stop", "x" * 257),
            ("stop", 3),
            ("n", 2),
            ("n", True),
            ("logit_bias", {"50256": -100}),
            ("presence_penalty", 0.1),
            ("frequency_penalty", -1),
            ("repetition_penalty", 1.1),
            ("top_k", 20),
            ("min_p", 0.05),
            ("top_logprobs", 5),
            ("functions", [{"name": "f"}]),
            ("function_call", {"name": "f"}),
            ("web_search_options", {}),
            ("tool_choice", "required"),
            ("tool_choice", {"type": "function", "function": {"name": "f"}}),
            ("stream", "yes"),
            ("logprobs", 3),
            ("model", 3),
            ("stream_options", True),
        ],
    )
    def test_refused_by_name(self, name: str, value: object):
        assert refused(**{name: value}).field == name

    def test_only_plain_text(self):
        assert read(response_format={"type": "text"}).call.asked == AskedSampling()
        refusal = refused(response_format={"type": "json_schema", "json_schema": {}})
        assert refusal.field == "response_format.type"
        assert "constrained decoding" in str(refusal)

    def test_a_deprecated_field_says_what_to_send(self):
        assert "send 'tools' of type 'function'" in str(refused(functions=[{"name": "f"}]))

    def test_fields_without_effect_are_named(self):
        got = read(user="u", metadata={"a": "b"}, store=False, parallel_tool_calls=True, frobnicate=1, n=1)
        assert got.call.ignored == ("frobnicate", "metadata", "parallel_tool_calls", "store", "user")

    def test_what_the_reply_depends_on(self):
        got = read(model="gpt-4o", stream=True, stream_options={"include_usage": True}, logprobs=True)
        assert (got.model, got.stream, got.wants_usage, got.wants_logprobs) == ("gpt-4o", True, True, True)
        assert got.call.ignored == ()


class TestTools:
    def test_the_schema_is_shown_as_it_was_sent(self):
        schema = {"type": "object", "properties": {"b": {}, "a": {}}, "additionalProperties": False}
        function = {"name": "f", "description": "d", "parameters": schema, "strict": True}
        got = read(tools=[{"type": "function", "function": function}]).call.tools
        assert got == (ToolSpec(name="f", description="d", parameters=schema),)
        assert list(got[0].parameters["properties"]) == ["b", "a"]

    def test_a_bare_function(self):
        got = read(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="auto").call.tools
        assert got == (ToolSpec(name="f", description=""),)

    def test_without_choice_no_tools_are_shown(self):
        assert read(tools=[TOOL], tool_choice="none").call.tools == ()

    @pytest.mark.parametrize(
        ("tool", "field"),
        [
            ({"type": "web_search"}, "tools[1].type"),
            ({"type": "custom", "custom": {"name": "x"}}, "tools[1].type"),
            ({"function": {"name": "f"}}, "tools[1].type"),
            ({"type": "function"}, "tools[1].function"),
            ({"type": "function", "function": {"name": ""}}, "tools[1].function.name"),
            ({"type": "function", "function": {"name": INVALID_CALL}}, "tools[1].function.name"),
            ({"type": "function", "function": {"name": "f", "parameters": []}}, "tools[1].function.parameters"),
        ],
    )
    def test_other_tools_are_refused_by_their_place(self, tool: dict[str, Any], field: str):
        assert refused(tools=[TOOL, tool]).field == field

    def test_a_schema_that_no_later_layer_could_write(self):
        schema: dict[str, Any] = {}
        for _ in range(64):
            schema = {"items": schema}
        assert "nested at most 64 deep" in str(
            refused(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])
        )


class TestReply:
    @pytest.mark.parametrize("message", [SAID, CALLED, Message(role="assistant")])
    def test_openai_takes_it(self, message: Message):
        got = ChatCompletion.model_validate(write(message), strict=True)
        assert got.id == "chatcmpl-t-1-0"
        assert got.created == 1_750_000_000
        assert got.usage is not None
        assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (11, 3, 14)

    def test_a_reply_of_text(self):
        choice = write(SAID, model="gpt-4o")["choices"][0]
        assert choice["message"] == {"role": "assistant", "content": "Your order is late.", "refusal": None}
        assert choice["finish_reason"] == "stop"
        assert write(SAID, model="gpt-4o")["model"] == "gpt-4o"

    def test_a_reply_that_calls(self):
        choice = write(CALLED)["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["reasoning_content"] == "They want O3."
        assert choice["message"]["tool_calls"] == [
            {
                "id": "call_0_0",
                "type": "function",
                "function": {"name": "get_order", "arguments": '{"order": "O3"}'},
            }
        ]

    def test_a_call_without_text_has_no_content(self):
        bare = Message(role="assistant", tool_calls=CALLED.tool_calls)
        assert write(bare)["choices"][0]["message"]["content"] is None

    def test_a_cut_reply_says_so_even_when_it_calls(self):
        body = DIALECT.write(read(), answer_of(CALLED, finish_reason="length"), "t-1")
        assert body["choices"][0]["finish_reason"] == "length"

    def test_logprobs_of_every_sampled_token(self):
        got = ChatCompletion.model_validate(write(SAID, logprobs=True), strict=True).choices[0].logprobs
        assert got is not None
        assert got.content is not None
        assert [(t.token, t.logprob, t.bytes) for t in got.content] == [
            ("Hel", -0.5, [72, 101, 108]),
            ("lo", -0.25, [108, 111]),
            ("<end>", -0.125, [60, 101, 110, 100, 62]),
        ]
        assert write(SAID)["choices"][0]["logprobs"] is None

    def test_a_malformed_call_is_a_call_that_frameworks_can_answer(self):
        spelled = write(Message(role="assistant", tool_calls=(MALFORMED,)))["choices"][0]["message"]["tool_calls"][0]
        assert spelled["function"]["name"] == "invalid_tool_call"
        assert json.loads(spelled["function"]["arguments"]) == {"text": MALFORMED.arguments}
        # Strands and LangChain write arguments anew, in their own spacing and with ASCII escapes.
        spelled["function"]["arguments"] = json.dumps(
            json.loads(spelled["function"]["arguments"]), separators=(",", ":")
        )
        assert messages({"role": "assistant", "tool_calls": [spelled]})[0].tool_calls == (MALFORMED,)

    def test_a_malformed_call_that_a_client_mangled_is_still_malformed(self):
        function = {"name": INVALID_CALL, "arguments": "{"}
        call = {"id": "c", "type": "function", "function": function}
        assert messages({"role": "assistant", "tool_calls": [call]})[0].tool_calls[0].name == ""


class TestStream:
    @pytest.mark.parametrize("message", [SAID, CALLED, Message(role="assistant")])
    @pytest.mark.parametrize("finish_reason", ["stop", "length"])
    @pytest.mark.parametrize("logprobs", [False, True])
    def test_chunks_add_up_to_the_whole_reply(self, message: Message, finish_reason: Any, logprobs: bool):
        fields = {"logprobs": logprobs, "stream_options": {"include_usage": True}}
        got = accumulate(stream(message, finish_reason, **fields)).to_dict()
        whole = DIALECT.write(read(**fields), answer_of(message, finish_reason=finish_reason), "t-1")
        expected = ChatCompletion.model_validate(whole).to_dict()
        for choice in (got["choices"][0], expected["choices"][0]):  # type: ignore[index]
            # An absent text and an empty one, and what only the accumulator adds, are no difference to a client.
            choice["message"] = {k: v for k, v in choice["message"].items() if v and k != "parsed"}
            for call in choice["message"].get("tool_calls", []):
                call.pop("index", None)
                call["function"].pop("parsed_arguments", None)
        for name in ("id", "created", "model", "usage", "choices"):
            assert got[name] == expected[name]

    def test_usage_only_where_it_was_asked_for(self):
        assert all("usage" not in chunk for chunk in stream(SAID))
        last = stream(SAID, stream_options={"include_usage": True})[-1]
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 14

    def test_calls_and_finish_reason_wait_for_the_end(self):
        writer = DIALECT.stream(read(stream=True), 0, 0.0, "t-1")
        early = writer.start() + [event for delta in deltas_of(CALLED) for event in writer.delta(delta)]
        assert not any(b"tool_calls" in event or b'"finish_reason":"' in event for event in early)

    def test_a_refusal_on_the_way(self):
        writer = DIALECT.stream(read(stream=True), 0, 0.0, "t-1")
        (event,) = writer.refuse(Refusal("internal", "the engine stopped"))
        assert json.loads(event.removeprefix(b"data: "))["error"]["message"] == "the engine stopped"


def test_an_error_in_openais_shape_and_in_boto3s():
    refusal = Refusal("validation", "too long", field="messages", reason="context_length_exceeded")
    assert DIALECT.refuse(refusal) == {
        "error": {
            "message": "too long",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
        "message": "too long",
        "__type": "ValidationException",
    }
    assert DIALECT.refuse(Refusal("throttled", "slow down"))["error"]["code"] == "throttled"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WELL_FORMED = st.builds(
    lambda name, arguments: (name, json.dumps(arguments, ensure_ascii=False)),
    TEXT.filter(bool) | st.from_regex(f"{INVALID_CALL}_*", fullmatch=True),
    st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=3),
)
CALLS = st.lists(WELL_FORMED | st.tuples(st.just(""), TEXT), max_size=3).map(
    lambda calls: tuple(ToolCall(id=f"call_5_{i}", name=n, arguments=a) for i, (n, a) in enumerate(calls))
)
MESSAGES = st.builds(Message, role=st.just("assistant"), content=TEXT, reasoning=TEXT, tool_calls=CALLS)


@pytest.mark.slow
@settings(max_examples=150)
@given(MESSAGES)
def test_what_is_written_reads_back_as_the_same_message(message: Message):
    whole = write(message)["choices"][0]["message"]
    assert messages(whole) == (message,)
    streamed = accumulate(stream(message)).choices[0].message.to_dict()
    assert canonical(messages(streamed)[0]) == canonical(message)  # type: ignore[arg-type]
