"""The OpenAI chat completions dialect: POST /v1/chat/completions, and SageMaker's /sample in both forms.

Messages are read and written in openai_chat_messages.py. Spelling after OpenAI's API reference and what openai 3.52,
LangChain, Strands and openai-agents send and parse.
"""

from collections.abc import Mapping
from typing import Any

from turnwright.core.message import ToolSpec
from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer, Call
from turnwright.gateway.dialects.base import ReadCall
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.dialects.openai_chat_messages import read_messages, spell_message, spell_tool_call
from turnwright.gateway.dialects.openai_request import (
    HONOURED,
    error_body,
    may_call,
    read_function,
    read_max_tokens,
    read_sampling,
    refuse_format,
    refuse_tool_type,
    refuse_unrecorded,
    token_logprobs,
)
from turnwright.gateway.http.sse import DONE, event
from turnwright.gateway.refusals import Refusal

_HONOURED = HONOURED | {"messages", "max_tokens", "max_completion_tokens", "logprobs", "response_format"}


class OpenAIChat:
    """Implements Dialect."""

    @property
    def name(self) -> str:
        """Short name."""
        return "openai-chat"

    def read(self, body: Mapping[str, object], headers: Mapping[str, str]) -> ReadCall:
        """Read a request."""
        fields = Fields(body)
        refuse_unrecorded(fields)
        refuse_format(fields.nested("response_format"))
        asked = read_sampling(fields, read_max_tokens(fields, "max_tokens", "max_completion_tokens"))
        messages = read_messages(fields)
        tools = tuple(_tool(tool) for tool in fields.objects("tools"))
        options = fields.nested("stream_options")
        return ReadCall(
            call=Call(
                messages=messages,
                tools=tools if may_call(fields) else (),
                asked=asked,
                ignored=fields.names_beyond(_HONOURED),
            ),
            model=fields.text("model") or "default",
            stream=fields.flag("stream"),
            wants_usage=options is not None and options.flag("include_usage"),
            wants_logprobs=fields.flag("logprobs"),
        )

    def write(self, read: ReadCall, answer: Answer, line_name: str) -> dict[str, Any]:
        """Return the completion of a whole reply."""
        choice: dict[str, Any] = {
            "index": 0,
            "message": spell_message(answer.message),
            "finish_reason": _finish_reason(answer),
            "logprobs": _logprobs(read, answer),
        }
        return {
            "id": _id(line_name, answer.turn),
            "object": "chat.completion",
            "created": int(answer.created),
            "model": read.model,
            "choices": [choice],
            "usage": _usage(answer),
        }

    def stream(self, read: ReadCall, turn: int, created: float, line_name: str) -> "ChatChunks":
        """Return the writer of a streamed reply."""
        return ChatChunks(read, id=_id(line_name, turn), created=int(created))

    def refuse(self, refusal: Refusal) -> dict[str, Any]:
        """Return the body of an error."""
        return error_body(refusal)


class ChatChunks:
    """Implements EventWriter. Text comes as it is sampled; each tool call comes whole, once the reply is on disk."""

    def __init__(self, read: ReadCall, *, id: str, created: int) -> None:
        """Start a stream whose chunks all carry ``id`` and ``created``."""
        self._read = read
        self._head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": read.model}

    def start(self) -> list[bytes]:
        """Return the chunk that names the role."""
        return [self._chunk({"role": "assistant", "content": ""})]

    def delta(self, delta: ReplyDelta) -> list[bytes]:
        """Return the chunk of a piece of text."""
        return [self._chunk({"content" if delta.kind == "content" else "reasoning_content": delta.text})]

    def finish(self, answer: Answer) -> list[bytes]:
        """Return tool calls, finish reason, usage where it was asked for, and the end mark."""
        events = [
            self._chunk({"tool_calls": [{"index": i, **spell_tool_call(call)}]})
            for i, call in enumerate(answer.message.tool_calls)
        ]
        events.append(self._chunk({}, finish_reason=_finish_reason(answer), logprobs=_logprobs(self._read, answer)))
        if self._read.wants_usage:
            events.append(event({**self._head, "choices": [], "usage": _usage(answer)}))
        return [*events, DONE]

    def refuse(self, refusal: Refusal) -> list[bytes]:
        """Return the event that OpenAI's clients raise as an APIError."""
        return [event(error_body(refusal))]

    def _chunk(
        self, delta: dict[str, Any], *, finish_reason: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
        return event({**self._head, "choices": [choice]})


def _tool(tool: Fields) -> ToolSpec:
    refuse_tool_type(tool)
    function = tool.nested("function")
    if function is None:
        raise tool.refuse("function", "an object with name, description and parameters")
    return read_function(function)


def _finish_reason(answer: Answer) -> str:
    if answer.finish_reason == "length":
        return "length"
    return "tool_calls" if answer.message.tool_calls else "stop"


def _logprobs(read: ReadCall, answer: Answer) -> dict[str, Any] | None:
    return {"content": token_logprobs(answer), "refusal": None} if read.wants_logprobs else None


def _usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.num_prompt_tokens,
        "completion_tokens": answer.num_sampled_tokens,
        "total_tokens": answer.num_prompt_tokens + answer.num_sampled_tokens,
    }


def _id(line_name: str, turn: int) -> str:
    return f"chatcmpl-{line_name}-{turn}"
