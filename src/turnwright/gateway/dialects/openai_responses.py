"""The OpenAI Responses dialect: POST /v1/responses.

Items are read and written in openai_responses_items.py, events in openai_responses_events.py. Spelling after OpenAI's
API reference and what openai 3.52 and openai-agents 0.24 send and parse. Nothing is stored for the caller: a
``previous_response_id`` is resolved from the trajectory's own record, and the id says all that this takes.
"""

import re
from collections.abc import Mapping
from typing import Any

from turnwright.core.message import Message, ToolSpec
from turnwright.gateway.calls import Answer, Call
from turnwright.gateway.dialects.base import EarlierReply, ReadCall
from turnwright.gateway.dialects.fields import Fields
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
)
from turnwright.gateway.dialects.openai_responses_events import ResponseEvents, ResponseWriter
from turnwright.gateway.dialects.openai_responses_items import ReplyIds, read_items
from turnwright.gateway.refusals import Refusal

_HONOURED = HONOURED | {"input", "instructions", "max_output_tokens", "previous_response_id", "text", "include"}
_LOGPROBS = "message.output_text.logprobs"
_RESPONSE_ID = re.compile(r"resp_(?P<line>.+)_(?P<turn>\d{1,9})(?P<instructed>i?)", re.ASCII)


class OpenAIResponses:
    """Implements Dialect."""

    @property
    def name(self) -> str:
        """Short name."""
        return "openai-responses"

    def read(self, body: Mapping[str, object], headers: Mapping[str, str]) -> ReadCall:
        """Read a request."""
        fields = Fields(body)
        refuse_unrecorded(fields)
        text = fields.nested("text")
        refuse_format(text.nested("format") if text is not None else None)
        asked = read_sampling(fields, read_max_tokens(fields, "max_output_tokens"))
        instructions = fields.text("instructions")
        opening = (Message(role="system", content=instructions),) if instructions else ()
        earlier = _earlier_reply(fields, inserted_at=len(opening))
        tools = tuple(_tool(tool) for tool in fields.objects("tools"))
        model = fields.text("model") or "default"
        return ReadCall(
            call=Call(
                messages=read_items(fields, opening),
                tools=tools if may_call(fields) else (),
                asked=asked,
                ignored=fields.names_beyond(_HONOURED),
            ),
            model=model,
            stream=fields.flag("stream"),
            wants_usage=True,
            wants_logprobs=_LOGPROBS in fields.texts("include"),
            earlier_reply=earlier,
            echo={
                "model": model,
                "instructions": instructions or None,
                "previous_response_id": earlier.id if earlier is not None else None,
                "tools": [_spell_tool(tool) for tool in tools],
                "tool_choice": fields.get("tool_choice") or "auto",
                "max_output_tokens": asked.max_tokens,
                "temperature": asked.temperature,
                "top_p": asked.top_p,
            },
        )

    def write(self, read: ReadCall, answer: Answer, line_name: str) -> dict[str, Any]:
        """Return the response object of a whole reply."""
        return _writer(read, answer.turn, answer.created, line_name).ended(answer)

    def stream(self, read: ReadCall, turn: int, created: float, line_name: str) -> ResponseEvents:
        """Return the writer of a streamed reply."""
        return ResponseEvents(_writer(read, turn, created, line_name))

    def refuse(self, refusal: Refusal) -> dict[str, Any]:
        """Return the body of an error."""
        return error_body(refusal)


def response_id(line_name: str, turn: int, *, instructed: bool) -> str:
    """Return the id of a response; it says whether its conversation opens with instructions of that call alone."""
    return f"resp_{line_name}_{turn}{'i' if instructed else ''}"


def _writer(read: ReadCall, turn: int, created: float, line_name: str) -> ResponseWriter:
    return ResponseWriter(
        id=response_id(line_name, turn, instructed=read.echo["instructions"] is not None),
        ids=ReplyIds(line_name=line_name, turn=turn),
        created=created,
        echo=read.echo,
        wants_logprobs=read.wants_logprobs,
    )


def _earlier_reply(body: Fields, *, inserted_at: int) -> EarlierReply | None:
    id = body.text("previous_response_id")
    if id is None:
        return None
    found = _RESPONSE_ID.fullmatch(id)
    if found is None:
        raise body.refuse("previous_response_id", "the id of a response of this trajectory (resp_...)")
    return EarlierReply(
        field="previous_response_id",
        id=id,
        line_name=found["line"],
        turn=int(found["turn"]),
        num_dropped=len(found["instructed"]),
        inserted_at=inserted_at,
    )


def _tool(tool: Fields) -> ToolSpec:
    refuse_tool_type(tool)
    return read_function(tool)


def _spell_tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": False,
    }
