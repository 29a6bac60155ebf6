"""The Responses dialect against openai's own types and stream accumulator; replies come back as the same message."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.dialects.test_openai_chat import MALFORMED, MESSAGES
from gateway.http.desk import CALLED, SAID, CannedDesk, answer_of, deltas_of
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.gateway.calls import AskedSampling
from turnwright.gateway.dialects.base import EarlierReply, ReadCall
from turnwright.gateway.dialects.openai_responses import OpenAIResponses
from turnwright.gateway.refusals import Refusal

DIALECT = OpenAIResponses()
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
THOUGHT = Message(role="assistant", reasoning="hm")
TOOL = {"type": "function", "name": "get_order", "parameters": {"type": "object"}, "strict": True}
INCLUDE_LOGPROBS = ["message.output_text.logprobs"]


def read(**fields: Any) -> ReadCall:
    return DIALECT.read({"input": "hi", **fields}, {})


def messages(*items: dict[str, Any]) -> tuple[Message, ...]:
    return read(input=list(items)).call.messages


def refused(**fields: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(**fields)
    assert caught.value.code == "validation"
    return caught.value


def write(message: Message, finish_reason: Any = "stop", **fields: Any) -> dict[str, Any]:
    answer = answer_of(message, finish_reason=finish_reason)
    return json.loads(json.dumps(DIALECT.write(read(**fields), answer, "t-1")))


def stream(message: Message, finish_reason: Any = "stop", **fields: Any) -> list[dict[str, Any]]:
    writer = DIALECT.stream(read(stream=True, **fields), 0, 1_750_000_000.5, "t-1")
    spelled = writer.start()
    for delta in deltas_of(message):
        spelled += writer.delta(delta)
    spelled += writer.finish(answer_of(message, finish_reason=finish_reason))
    events = []
    for event in spelled:
        name, data = event.decode().removesuffix("\n\n").split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


class TestInput:
    def test_a_string_is_a_user_message(self):
        assert read(instructions="Be brief.").call.messages == (
            Message(role="system", content="Be brief."),
            Message(role="user", content="hi"),
        )

    def test_messages_in_every_spelling(self):
        assert messages(
            {"role": "developer", "content": "rules"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}] * 2},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "b", "annotations": []},
                    {"type": "refusal", "refusal": "c"},
                ],
            },
        ) == (
            Message(role="system", content="rules"),
            Message(role="user", content="a\na"),
            Message(role="assistant", content="bc"),
        )

    def test_items_of_one_reply_become_one_message(self):
        call = {"type": "function_call", "name": "f", "arguments": "{}"}
        assert messages(
            {"role": "user", "content": "go"},
            {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"role": "assistant", "content": "wait"},
            {**call, "call_id": "a"},
            {**call, "call_id": "b"},
            {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
            {**call, "call_id": "c"},
        ) == (
            Message(role="user", content="go"),
            Message(
                role="assistant",
                content="wait",
                reasoning="hm",
                tool_calls=(ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="f", arguments="{}")),
            ),
            Message(role="tool", content="2", tool_call_id="b", name="f"),
            Message(role="tool", content="1", tool_call_id="a", name="f"),
            Message(role="assistant", tool_calls=(ToolCall(id="c", name="f", arguments="{}"),)),
        )

    def test_a_new_reply_begins_where_the_order_does_not_fit(self):
        call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
        thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "content": None}
        said = {"role": "assistant", "content": "x"}
        assert [m.content or m.reasoning for m in messages(said, thought, said)] == ["x", "x"]
        assert messages(call, said)[1] == Message(role="assistant", content="x")
        assert messages(said, thought, said)[1].reasoning == "hm"

    @pytest.mark.parametrize(
        ("item", "field", "cure"),
        [
            ({"type": "item_reference", "id": "msg_1"}, "input[0].type", "previous_response_id"),
            ({"type": "web_search_call", "id": "ws"}, "input[0].type", "hosted"),
            ({"id": "msg_1"}, "input[0].type", "got nothing"),
            ({"role": "tool", "content": "x"}, "input[0].role", "'tool'"),
            ({"role": "user"}, "input[0].content", "string"),
            ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].type", "reads text only"),
            ({"role": "user", "content": [{"type": "input_file"}]}, "input[0].content[0].type", "reads text only"),
            ({"type": "function_call", "name": "f"}, "input[0].call_id", "string"),
            ({"type": "function_call_output", "call_id": "c"}, "input[0].output", "nothing"),
            (
                {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]},
                "input[0].output[0].type",
                "reads text only",
            ),
        ],
    )
    def test_what_cannot_be_read_is_named(self, item: dict[str, Any], field: str, cure: str):
        refusal = refused(input=[item])
        assert refusal.field == field
        assert cure in str(refusal)

    @pytest.mark.parametrize("value", [None, [], 3, {}, [None]])
    def test_no_input(self, value: object):
        assert str(refused(input=value).field).startswith("input")


class TestFields:
    def test_everything_that_is_honoured(self):
        got = read(
            model="gpt-5",
            temperature=0.5,
            top_p=0.9,
            max_output_tokens=7,
            tools=[TOOL],
            tool_choice="auto",
            text={"format": {"type": "text"}, "verbosity": "low"},
            truncation="disabled",
            include=INCLUDE_LOGPROBS,
            stream=True,
        )
        assert got.call.asked == AskedSampling(temperature=0.5, top_p=0.9, max_tokens=7)
        assert got.call.tools == (ToolSpec(name="get_order", description="", parameters={"type": "object"}),)
        assert (got.model, got.stream, got.wants_logprobs, got.call.ignored) == ("gpt-5", True, True, ())

    def test_fields_without_effect_are_named(self):
        got = read(store=True, parallel_tool_calls=False, metadata={}, reasoning={"effort": "low"}, user="u")
        assert got.call.ignored == ("metadata", "parallel_tool_calls", "reasoning", "store", "user")
        assert read(include=["reasoning.encrypted_content"]).wants_logprobs is False

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.type"),
            ({"truncation": "auto"}, "truncation"),
            ({"tool_choice": "required"}, "tool_choice"),
            ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
            ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
            ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"background": True}, "background"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"prompt": {"id": "pmpt_1"}}, "prompt"),
            ({"max_output_tokens": 0}, "max_output_tokens"),
            ({"previous_response_id": "resp_68a"}, "previous_response_id"),
            ({"instructions": [{"role": "user"}]}, "instructions"),
        ],
    )
    def test_refused_by_name(self, fields: dict[str, Any], field: str):
        assert refused(**fields).field == field

    def test_without_choice_no_tools_are_shown_but_repeated(self):
        got = read(tools=[TOOL], tool_choice="none")
        assert got.call.tools == ()
        echoed = Response.model_validate(DIALECT.write(got, answer_of(SAID), "t-1"))
        assert echoed.tool_choice == "none"
        assert [tool.name for tool in echoed.tools] == ["get_order"]  # type: ignore[union-attr]


class TestEarlierReply:
    def test_the_id_says_where_the_reply_stands_and_whether_instructions_opened_it(self):
        plain, instructed = write(SAID)["id"], write(SAID, instructions="Be brief.")["id"]
        assert (plain, instructed) == ("resp_t-1_0", "resp_t-1_0i")
        earlier = EarlierReply(
            field="previous_response_id", id=instructed, line_name="t-1", turn=0, num_dropped=1, inserted_at=1
        )
        assert read(previous_response_id=instructed, instructions="New.").earlier_reply == earlier
        bare = read(previous_response_id=plain).earlier_reply
        assert bare is not None
        assert (bare.num_dropped, bare.inserted_at) == (0, 0)

    def conversation_after(self, first: dict[str, Any], **fields: Any) -> list[str]:
        opening = read(**first)
        line = CannedDesk(calls=[opening.call])
        return [m.content for m in read(previous_response_id=write(SAID, **first)["id"], **fields).messages_on(line)]

    def test_instructions_do_not_carry_over(self):
        first = {"instructions": "Old."}
        assert self.conversation_after(first, instructions="New.") == ["New.", "hi", SAID.content, "hi"]
        assert self.conversation_after(first, input="and?") == ["hi", SAID.content, "and?"]

    def test_a_system_message_of_the_input_does(self):
        first = {"input": [{"role": "system", "content": "Old."}, {"role": "user", "content": "hi"}]}
        assert self.conversation_after(first, input="and?") == ["Old.", "hi", SAID.content, "and?"]
        assert self.conversation_after(first, instructions="New.")[:2] == ["New.", "Old."]

    def test_a_reply_of_another_trajectory(self):
        with pytest.raises(Refusal, match="reply of this trajectory \\('t-1'\\): got 'resp_t-2_0'") as caught:
            read(previous_response_id="resp_t-2_0").messages_on(CannedDesk())
        assert (caught.value.code, caught.value.field) == ("validation", "previous_response_id")


class TestReply:
    @pytest.mark.parametrize("message", [SAID, CALLED, THOUGHT, Message(role="assistant")])
    @pytest.mark.parametrize("finish_reason", ["stop", "length"])
    def test_openai_takes_it(self, message: Message, finish_reason: Any):
        body = write(message, finish_reason, tools=[TOOL], include=INCLUDE_LOGPROBS)
        got = Response.model_validate(body, strict=True)
        assert got.status == ("completed" if finish_reason == "stop" else "incomplete")
        assert got.output_text == message.content
        assert got.usage is not None
        assert (got.usage.input_tokens, got.usage.output_tokens) == (11, 3)
        assert (got.temperature, got.top_p, got.created_at) == (1.0, 0.9, 1_750_000_000)

    def test_a_reply_that_calls(self):
        assert [(item["type"], item["id"], item["status"]) for item in write(CALLED)["output"]] == [
            ("reasoning", "rs_t-1_0", "completed"),
            ("message", "msg_t-1_0", "completed"),
            ("function_call", "fc_0_t-1_0", "completed"),
        ]
        assert write(CALLED)["output"][2]["call_id"] == "call_0_0"

    def test_a_cut_reply_says_so(self):
        body = write(SAID, "length")
        assert body["incomplete_details"] == {"reason": "max_output_tokens"}
        assert body["output"][-1]["status"] == "incomplete"

    def test_logprobs_stand_at_the_text(self):
        (item,) = write(SAID, include=INCLUDE_LOGPROBS)["output"]
        assert [t["logprob"] for t in item["content"][0]["logprobs"]] == [-0.5, -0.25, -0.125]
        assert write(SAID)["output"][0]["content"][0]["logprobs"] == []

    def test_a_malformed_call_comes_back(self):
        message = Message(role="assistant", tool_calls=(MALFORMED,))
        assert write(message)["output"][0]["name"] == "invalid_tool_call"
        assert messages(*write(message)["output"]) == (message,)


class TestStream:
    @pytest.mark.slow
    @pytest.mark.parametrize("message", [SAID, CALLED, THOUGHT, Message(role="assistant")])
    @pytest.mark.parametrize("finish_reason", ["stop", "length"])
    def test_openai_builds_the_whole_reply_from_the_events(self, message: Message, finish_reason: Any):
        fields: dict[str, Any] = {"include": INCLUDE_LOGPROBS}
        state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
        events = stream(message, finish_reason, **fields)
        last = [item for event in events for item in state.handle_event(EVENT.validate_python(event, strict=True))][-1]
        assert last.type == ("response.completed" if finish_reason == "stop" else "response.incomplete")
        assert events[-1]["response"] == write(message, finish_reason, **fields)
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert done == events[-1]["response"]["output"]

    def test_the_sequence_of_a_reply_that_thinks_talks_and_calls(self):
        seen = types(stream(CALLED))
        assert [type for i, type in enumerate(seen) if i == 0 or type != seen[i - 1]] == [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
        places = [event["output_index"] for event in stream(CALLED) if event["type"] == "response.output_item.added"]
        assert places == [0, 1, 2]

    def test_an_empty_reply_still_has_its_message(self):
        assert types(stream(Message(role="assistant")))[2:] == [
            "output_item.added",
            "content_part.added",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]

    def test_a_refusal_on_the_way(self):
        writer = DIALECT.stream(read(stream=True), 0, 0.0, "t-1")
        writer.start()
        (event,) = writer.refuse(Refusal("internal", "the engine stopped"))
        name, data = event.decode().strip().split("\n")
        got = EVENT.validate_python(json.loads(data.removeprefix("data: ")), strict=True)
        assert name == "event: error"
        assert (got.type, got.message, got.sequence_number) == ("error", "the engine stopped", 2)


def test_an_error_has_openais_shape():
    error = DIALECT.refuse(Refusal("conflict", "sealed", reason="sealed"))["error"]
    assert error == {"message": "sealed", "type": "conflict_error", "param": None, "code": "sealed"}


@pytest.mark.slow
@settings(max_examples=150)
@given(MESSAGES)
def test_what_is_written_reads_back_as_the_same_message(message: Message):
    whole = write(message)
    assert messages(*whole["output"]) == (message,)
    assert stream(message)[-1]["response"] == whole
