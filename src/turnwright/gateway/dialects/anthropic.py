"""The Anthropic messages dialect: POST /v1/messages and /v1/messages/count_tokens.

JSON body --read--> ReadCall; Answer --write--> JSON body, or --stream--> events (anthropic_events.py). Content blocks
are read and written in anthropic_content.py. Spelling after the Messages API reference and what anthropic 2.11 sends
and parses.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from turnwright.core.message import Message, ToolSpec
from turnwright.gateway.calls import Answer, AskedSampling, Call
from turnwright.gateway.dialects.anthropic_content import ConversationReader, reply_blocks
from turnwright.gateway.dialects.anthropic_events import MessageEvents, message_id, stop_reason, usage
from turnwright.gateway.dialects.base import ReadCall
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.dialects.openai_request import read_function
from turnwright.gateway.refusals import Refusal, RefusalCode

_ERRORS: dict[RefusalCode, str] = {
    "validation": "invalid_request_error",
    "quota": "billing_error",
    "access_denied": "permission_error",
    "not_found": "not_found_error",
    "conflict": "conflict_error",
    "too_large": "request_too_large",
    "throttled": "rate_limit_error",
    "internal": "api_error",
}

_MOST_TOKENS = 2**31 - 1
_MOST_STOPS = 16
_LONGEST_STOP = 256
_CONVERSATION = frozenset({"model", "system", "messages", "tools", "tool_choice"})
_SAMPLING = frozenset({"max_tokens", "temperature", "top_p", "stop_sequences", "stream"})
_CHANGES_SAMPLING = {
    "top_k": "log-probabilities are recorded over the top_p set; leave it out and use top_p",
    "output_format": "constrained decoding changes what the policy samples; leave it out and check the reply",
    "mcp_servers": "tools run in the agent; connect to the servers there and pass their tools",
    "container": "tools run in the agent; leave it out",
}
"""Fields that cannot be honoured and must not be ignored, and what to do instead."""


class AnthropicMessages:
    """Implements Dialect."""

    @property
    def name(self) -> str:
        """Short name."""
        return "anthropic"

    def read(self, body: Mapping[str, object], headers: Mapping[str, str]) -> ReadCall:
        """Read a request; ``max_tokens`` must be there, as in the vendor's API."""
        fields = Fields(body)
        messages, tools, ignored = read_conversation(fields)
        _refuse_prefill(fields)
        max_tokens = fields.integer("max_tokens", 1, _MOST_TOKENS)
        if max_tokens is None:
            raise fields.refuse("max_tokens", f"a whole number from 1 to {_MOST_TOKENS}")
        stop = fields.texts("stop_sequences")
        if len(stop) > _MOST_STOPS or not all(1 <= len(sequence) <= _LONGEST_STOP for sequence in stop):
            raise fields.refuse("stop_sequences", f"up to {_MOST_STOPS} strings of 1 to {_LONGEST_STOP} characters")
        asked = AskedSampling(
            temperature=fields.number("temperature", 0, 2),
            top_p=fields.number("top_p", 0, 1, above_low=True),
            max_tokens=max_tokens,
            stop=stop,
        )
        return ReadCall(
            call=Call(
                messages=messages,
                tools=tools,
                asked=asked,
                ignored=tuple(sorted(ignored | set(fields.names_beyond(_CONVERSATION | _SAMPLING)))),
            ),
            model=fields.required_text("model"),
            stream=fields.flag("stream"),
            wants_usage=True,
            # The texts of the tokens tell which stop sequence ended the reply.
            wants_logprobs=bool(stop),
        )

    def write(self, read: ReadCall, answer: Answer, line_name: str) -> dict[str, Any]:
        """Return the message object of a whole reply."""
        reason, sequence = stop_reason(answer)
        return {
            "id": message_id(line_name, answer.turn),
            "type": "message",
            "role": "assistant",
            "model": read.model,
            "content": reply_blocks(answer.message),
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": usage(answer),
        }

    def stream(self, read: ReadCall, turn: int, created: float, line_name: str) -> MessageEvents:
        """Return the writer of a streamed reply."""
        return MessageEvents(id=message_id(line_name, turn), model=read.model, refuse=self.refuse)

    def refuse(self, refusal: Refusal) -> dict[str, Any]:
        """Return the body of an error; the request's id travels in a header."""
        return {
            "type": "error",
            "error": {"type": _ERRORS[refusal.code], "message": str(refusal)},
            "request_id": None,
        }


def read_conversation(body: Fields) -> tuple[tuple[Message, ...], tuple[ToolSpec, ...], set[str]]:
    """Read what a prompt depends on, for a call or for counting its tokens.

    Returns:
        Messages, tools (none with ``tool_choice`` none), and names of what has no effect on them.
    """
    for name, cure in _CHANGES_SAMPLING.items():
        if body.get(name) is not None:
            raise body.refuse(name, "absent", cure)
    output = body.nested("output_config")
    if output is not None and output.get("format") is not None:
        raise output.refuse("format", "absent", _CHANGES_SAMPLING["output_format"])
    reader = ConversationReader()
    messages = reader.read(body)
    ignored = reader.ignored
    tools = tuple(_tools(body, ignored))
    return messages, tools if _may_call(body, ignored) else (), ignored


def _refuse_prefill(body: Fields) -> None:
    """A last message of the assistant's asks to go on from it, in the middle of a reply."""
    *_, last = body.objects("messages")
    if last.get("role") == "assistant":
        cure = "the policy samples whole replies and cannot go on from a prefilled one"
        raise last.refuse("role", "'user' in the last message", cure)


def _tools(body: Fields, ignored: set[str]) -> Iterator[ToolSpec]:
    for tool in body.objects("tools"):
        if tool.get("type") not in (None, "custom"):
            raise tool.refuse("type", "'custom'", "the vendor's own tools do not run here; define it in the agent")
        schema = tool.nested("input_schema")
        if schema is None:
            raise tool.refuse("input_schema", "an object")
        ignored.update(tool.names_beyond({"type", "name", "description", "input_schema"}))
        function = {"name": tool.get("name"), "description": tool.get("description"), "parameters": schema.value}
        yield read_function(Fields(function, tool.path))


def _may_call(body: Fields, ignored: set[str]) -> bool:
    choice = body.nested("tool_choice")
    if choice is None:
        return True
    kind = choice.get("type")
    if kind not in ("auto", "none"):
        raise choice.refuse("type", "'auto' or 'none'", "a forced call changes what the policy samples")
    ignored.update(choice.names_beyond({"type"}))
    return kind == "auto"
