"""Items of the OpenAI Responses API <-> messages of the core.

    request:  input (a string, or items) --read_items--> tuple[Message, ...]
    reply:    Message --output_items--> output items, complete; the stream opens and closes the same ones

One reply of the policy is several items here (reasoning, message, one per call); they come back one after another and
become one message again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from turnwright.core.message import Message, ToolCall
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.dialects.malformed_calls import read_call, spell_call
from turnwright.gateway.dialects.openai_request import ROLES, read_content

_TEXT = {"input_text": "text", "output_text": "text", "text": "text"}
_REPLY_TEXT = {**_TEXT, "refusal": "refusal"}
_REASONING = {"reasoning_text": "text", "summary_text": "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyIds:
    """What the ids of a reply and of its items are made of."""

    line_name: str
    turn: int

    def item(self, prefix: str) -> str:
        """Return the id of an item: "msg", "rs", or "fc_0" and so on."""
        return f"{prefix}_{self.line_name}_{self.turn}"


def read_items(body: Fields, earlier: Sequence[Message] = ()) -> tuple[Message, ...]:
    """Return the messages that ``input`` spells.

    Args:
        body: Request.
        earlier: Messages before them, such as the instructions.

    Raises:
        Refusal: Naming the first item or part that cannot be read.
    """
    value = body.get("input")
    if isinstance(value, str):
        return (*earlier, Message(role="user", content=value))
    if not isinstance(value, list) or not value:
        raise body.refuse("input", "a string, or a list of at least one item")
    reader = _ItemReader(list(earlier))
    for item in body.objects("input"):
        reader.add(item)
    return tuple(reader.messages)


class _ItemReader:
    """Gathers items into messages."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self._tool_names: dict[str, str] = {}
        self._reply_is_open = False
        """The last message is a reply that the next item may be a part of."""

    def add(self, item: Fields) -> None:
        kind = item.get("type") or ("message" if item.get("role") is not None else None)
        if kind == "reasoning":
            self._extend_reply(Message(role="assistant", reasoning=_reasoning(item)))
        elif kind == "function_call":
            call = _call(item)
            self._tool_names[call.id] = call.name
            self._extend_reply(Message(role="assistant", tool_calls=(call,)))
        elif kind == "message" and item.get("role") == "assistant":
            content = read_content(item, "content", _REPLY_TEXT, separator="") or ""
            self._extend_reply(Message(role="assistant", content=content))
        elif kind == "message":
            self._append(_message(item))
        elif kind == "function_call_output":
            self._append(self._tool_result(item))
        elif kind == "item_reference":
            cure = "nothing is stored here: send the item itself, or previous_response_id"
            raise item.refuse("type", "an item with its content", cure)
        else:
            cure = "tools run in the agent; items of hosted tools are not known here"
            raise item.refuse("type", "'message', 'reasoning', 'function_call' or 'function_call_output'", cure)

    def _append(self, message: Message) -> None:
        self.messages.append(message)
        self._reply_is_open = False

    def _extend_reply(self, part: Message) -> None:
        """Add to the open reply what may follow it: reasoning, then text, then calls."""
        reply = self.messages[-1] if self._reply_is_open else None
        later = reply is not None and (
            (part.reasoning and (reply.content or reply.tool_calls)) or (not part.tool_calls and reply.tool_calls)
        )
        if reply is None or later:
            self.messages.append(part)
        else:
            self.messages[-1] = replace(
                reply,
                reasoning=reply.reasoning + part.reasoning,
                content=reply.content + part.content,
                tool_calls=reply.tool_calls + part.tool_calls,
            )
        self._reply_is_open = True

    def _tool_result(self, item: Fields) -> Message:
        call_id = item.required_text("call_id")
        content = read_content(item, "output", _TEXT, separator="\n")
        if content is None:
            raise item.refuse("output", "a string or a list of text parts")
        return Message(role="tool", content=content, tool_call_id=call_id, name=self._tool_names.get(call_id))


def output_items(message: Message, ids: ReplyIds, *, cut: bool = False) -> list[dict[str, Any]]:
    """Return the items of a reply: reasoning, text, calls, and never nothing.

    Args:
        message: The reply.
        ids: Where it stands.
        cut: The reply ended at its limit, inside the last item.
    """
    items: list[dict[str, Any]] = []
    if message.reasoning:
        items.append(reasoning_item(ids, message.reasoning))
    if message.content or not (message.reasoning or message.tool_calls):
        items.append(message_item(ids, message.content))
    items.extend(call_item(ids, i, call) for i, call in enumerate(message.tool_calls))
    if cut:
        items[-1]["status"] = "incomplete"
    return items


def reasoning_item(ids: ReplyIds, text: str | None) -> dict[str, Any]:
    """Return the reasoning of a reply; None = it begins."""
    content = [] if text is None else [{"type": "reasoning_text", "text": text}]
    return {"id": ids.item("rs"), "type": "reasoning", "summary": [], "content": content, "status": _status(text)}


def message_item(ids: ReplyIds, text: str | None) -> dict[str, Any]:
    """Return the text of a reply; None = it begins."""
    content = [] if text is None else [text_part(text)]
    return {"id": ids.item("msg"), "type": "message", "role": "assistant", "content": content, "status": _status(text)}


def text_part(text: str) -> dict[str, Any]:
    """Return the one part of a message item."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(ids: ReplyIds, position: int, call: ToolCall) -> dict[str, Any]:
    """Return one call of a reply."""
    name, arguments = spell_call(call)
    return {
        "id": ids.item(f"fc_{position}"),
        "type": "function_call",
        "call_id": call.id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def _status(text: str | None) -> str:
    return "in_progress" if text is None else "completed"


def _message(item: Fields) -> Message:
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise item.refuse("role", "'system', 'developer', 'user' or 'assistant'")
    content = read_content(item, "content", _TEXT, separator="\n")
    if content is None:
        raise item.refuse("content", "a string or a list of text parts")
    return Message(role=ROLES[role], content=content)


def _reasoning(item: Fields) -> str:
    content = read_content(item, "content", _REASONING, separator="")
    return content or read_content(item, "summary", _REASONING, separator="\n") or ""


def _call(item: Fields) -> ToolCall:
    return read_call(item.required_text("call_id"), item.required_text("name"), item.text("arguments") or "")
