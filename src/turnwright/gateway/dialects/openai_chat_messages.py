"""OpenAI chat messages <-> messages of the core.

    request:  messages[] in every shape that clients send --read_messages--> tuple[Message, ...]
    reply:    Message --spell_message--> choices[0].message

What ``spell_message`` writes, a client sends back with its next request, and reading it gives the same message again.
"""

from typing import Any

from turnwright.core.message import Message, ToolCall
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.dialects.malformed_calls import read_call, spell_call
from turnwright.gateway.dialects.openai_request import ROLES, read_content

_TEXT = {"text": "text"}
_REPLY_TEXT = {"text": "text", "refusal": "refusal"}


def read_messages(body: Fields) -> tuple[Message, ...]:
    """Return the conversation of a request body.

    Raises:
        Refusal: Naming the first message or part that cannot be read.
    """
    tool_names: dict[str, str] = {}
    messages: list[Message] = []
    for entry in body.objects("messages"):
        role = entry.get("role")
        if role == "tool":
            messages.append(_tool_result(entry, tool_names))
        elif role == "assistant":
            messages.append(_reply(entry))
            tool_names.update({call.id: call.name for call in messages[-1].tool_calls})
        elif isinstance(role, str) and role in ROLES:
            messages.append(Message(role=ROLES[role], content=_required_content(entry)))
        else:
            cure = "send tool results with role 'tool' and their tool_call_id" if role == "function" else ""
            raise entry.refuse("role", "'system', 'developer', 'user', 'assistant' or 'tool'", cure)
    if not messages:
        raise body.refuse("messages", "a list of at least one message")
    return tuple(messages)


def spell_message(message: Message) -> dict[str, Any]:
    """Return the message of a reply."""
    spelled: dict[str, Any] = {"role": "assistant", "content": message.content, "refusal": None}
    if message.reasoning:
        spelled["reasoning_content"] = message.reasoning
    if message.tool_calls:
        spelled["content"] = message.content or None
        spelled["tool_calls"] = [spell_tool_call(call) for call in message.tool_calls]
    return spelled


def spell_tool_call(call: ToolCall) -> dict[str, Any]:
    """Return one entry of ``tool_calls``."""
    name, arguments = spell_call(call)
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _required_content(entry: Fields) -> str:
    content = read_content(entry, "content", _TEXT, separator="\n")
    if content is None:
        raise entry.refuse("content", "a string or a list of text parts")
    return content


def _tool_result(entry: Fields, tool_names: dict[str, str]) -> Message:
    call_id = entry.required_text("tool_call_id")
    return Message(
        role="tool",
        content=read_content(entry, "content", _TEXT, separator="\n") or "",
        tool_call_id=call_id,
        name=tool_names.get(call_id, entry.text("name")),
    )


def _reply(entry: Fields) -> Message:
    if entry.get("function_call") is not None:
        raise entry.refuse("function_call", "absent", "deprecated: send tool_calls")
    return Message(
        role="assistant",
        content=read_content(entry, "content", _REPLY_TEXT, separator="") or "",
        # Clients that know reasoning models use either name.
        reasoning=entry.text("reasoning_content") or entry.text("reasoning") or "",
        tool_calls=tuple(_call(call) for call in entry.objects("tool_calls")),
    )


def _call(entry: Fields) -> ToolCall:
    if entry.get("type") not in (None, "function"):
        raise entry.refuse("type", "'function'", "no other calls are made here")
    function = entry.nested("function")
    if function is None:
        raise entry.refuse("function", "an object with name and arguments")
    return read_call(entry.required_text("id"), function.required_text("name"), function.text("arguments") or "")
