"""Anthropic content blocks <-> messages of the core.

    request:  system, messages[].content blocks --ConversationReader--> tuple[Message, ...]
    reply:    Message --reply_blocks--> content blocks

What ``reply_blocks`` writes, a client sends back with its next request, and reading it gives the same message again.
Here a call's input is an object where the core keeps its JSON text; what is no call at all goes as malformed_calls.py
says.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any, cast

from turnwright.core.message import Message, ToolCall
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.dialects.malformed_calls import read_call, spell_call

_BLOCKS = {
    "system": ("text",),
    "user": ("text", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
    "tool_result": ("text",),
}
"""Block types that the policy can read, by the place where they stand."""

_HONOURED = {
    "text": {"type", "text"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "tool_use": {"type", "id", "name", "input"},
    "tool_result": {"type", "tool_use_id", "content", "is_error"},
}
"""Fields of each block that reach the policy, or that this gateway itself makes up."""


class ConversationReader:
    """Reads the messages of one request and gathers what has no effect on them."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self.ignored: set[str] = set()
        """Names of fields and blocks that were sent but that the policy does not see, such as "cache_control"."""
        self._tool_names: dict[str, str] = {}

    def read(self, body: Fields) -> tuple[Message, ...]:
        """Return the conversation of a request body.

        Raises:
            Refusal: Naming the first block that cannot be read.
        """
        messages: list[Message] = []
        if body.get("system") is not None:
            messages.append(Message(role="system", content=self._texts(body, "system", place="system")))
        entries = list(body.objects("messages"))
        for entry in entries:
            match entry.get("role"):
                case "user":
                    messages.extend(self._user(entry))
                case "assistant":
                    messages.append(self._assistant(entry))
                case "system":
                    messages.append(Message(role="system", content=self._texts(entry, "content", place="system")))
                case _:
                    raise entry.refuse("role", "'user', 'assistant' or 'system'")
            self.ignored.update(entry.names_beyond({"role", "content"}))
        if not entries:
            raise body.refuse("messages", "a list of at least one message")
        return tuple(messages)

    def _user(self, entry: Fields) -> Iterator[Message]:
        """One message may answer calls and say something: each stretch of text becomes a message of its own."""
        blocks = list(self._blocks(entry, "content", place="user"))
        for is_text, stretch in groupby(blocks, key=lambda block: block.get("type") == "text"):
            if is_text:
                yield Message(role="user", content="\n".join(map(_text, stretch)))
            else:
                yield from map(self._tool_result, stretch)
        if not blocks:
            yield Message(role="user")

    def _tool_result(self, block: Fields) -> Message:
        call_id = block.required_text("tool_use_id")
        if block.flag("is_error"):
            self.ignored.add("is_error")
        content = "" if block.get("content") is None else self._texts(block, "content", place="tool_result")
        return Message(role="tool", content=content, tool_call_id=call_id, name=self._tool_names.get(call_id))

    def _assistant(self, entry: Fields) -> Message:
        content, reasoning, calls = "", "", list[ToolCall]()
        for block in self._blocks(entry, "content", place="assistant"):
            match block.get("type"):
                case "text":
                    content += _text(block)
                case "thinking":
                    reasoning += block.text("thinking") or ""
                case "tool_use":
                    calls.append(_call(block))
                    self._tool_names[calls[-1].id] = calls[-1].name
                case _:
                    self.ignored.add("redacted_thinking")
        return Message(role="assistant", content=content, reasoning=reasoning, tool_calls=tuple(calls))

    def _texts(self, owner: Fields, name: str, *, place: str) -> str:
        return "\n".join(_text(block) for block in self._blocks(owner, name, place=place))

    def _blocks(self, owner: Fields, name: str, *, place: str) -> Iterator[Fields]:
        """Yield the blocks of a field that is a list of them, or a string that stands for one text block."""
        value = owner.get(name)
        if isinstance(value, str):
            yield Fields({"type": "text", "text": value}, owner.at(name))
            return
        if not isinstance(value, list):
            raise owner.refuse(name, "a string or a list of content blocks")
        for block in owner.objects(name):
            kind = block.get("type")
            if kind not in _BLOCKS[place]:
                readable = " or ".join(map(repr, _BLOCKS[place]))
                raise block.refuse("type", readable, "the policy reads text and calls the agent's own tools")
            self.ignored.update(block.names_beyond(_HONOURED[cast(str, kind)]))
            yield block


def reply_blocks(message: Message) -> list[dict[str, Any]]:
    """Return the content of a reply: thinking, text, calls, and never nothing."""
    blocks: list[dict[str, Any]] = []
    if message.reasoning:
        blocks.append({"type": "thinking", "thinking": message.reasoning, "signature": ""})
    if message.content or not (message.reasoning or message.tool_calls):
        blocks.append({"type": "text", "text": message.content})
    blocks.extend(map(_tool_use, message.tool_calls))
    return blocks


def _tool_use(call: ToolCall) -> dict[str, Any]:
    name, arguments = spell_call(call)
    value = _as_object(arguments)
    if value is None:
        # No parser of ours reads such a call, but a block must be valid whatever it is given.
        name, arguments = spell_call(ToolCall(id=call.id, name="", arguments=call.arguments))
        value = _as_object(arguments)
    return {"type": "tool_use", "id": call.id, "name": name, "input": value}


def _call(block: Fields) -> ToolCall:
    arguments = block.nested("input")
    if arguments is None:
        raise block.refuse("input", "an object")
    try:
        written = json.dumps(arguments.value, ensure_ascii=False)
    except RecursionError:
        raise block.refuse("input", "an object nested less deep") from None
    return read_call(block.required_text("id"), block.required_text("name"), written)


def _text(block: Fields) -> str:
    text = block.text("text")
    if text is None:
        raise block.refuse("text", "a string")
    return text


def _as_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that ``text`` spells; None when it is none, or one that JSON cannot carry on."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
