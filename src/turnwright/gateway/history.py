"""Compares conversations: which earlier reply a request goes on from, and if none, what became of the history."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from turnwright.core.message import Message, ToolSpec

ForkCause = Literal[
    "tools_changed", "thinking_dropped", "template_rewrites_history", "branched", "new_conversation", "history_edited"
]
"""Why a request starts a new row:

- tools_changed: the same messages under other tools;
- thinking_dropped: the reasoning of an earlier reply is gone, by the caller's hand or by the template's;
- template_rewrites_history: the template renders earlier replies differently now that something follows;
- branched: another request already went on from there, or the same one is asked again;
- new_conversation: no recorded request opens like this one (a sub-agent);
- history_edited: anything else, such as compaction.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the recorder holds of one turn: the conversation through its reply, in messages and in ids."""

    index: int
    """Number of the turn."""
    messages: tuple[Message, ...]
    """The request's messages and the reply, as the parser read it."""
    tools: tuple[ToolSpec, ...]
    token_ids: tuple[int, ...]
    """Prompt and sampled ids."""
    num_sampled: int
    shared_prefix_length: int
    canonical: bool
    """The template renders every reply of this conversation to the ids that were sampled."""
    has_reasoning: bool
    """Some reply of this conversation has reasoning."""

    @property
    def sampled_ids(self) -> tuple[int, ...]:
        """Ids of the reply."""
        return self.token_ids[len(self.token_ids) - self.num_sampled :]


def starts_with(messages: Sequence[Message], beginning: Sequence[Message]) -> bool:
    """Tell whether a conversation begins with the messages of another, call ids and JSON spacing aside."""
    if len(messages) < len(beginning):
        return False
    # Backwards: where histories differ, they mostly differ late, and most messages are the very same objects.
    return all(
        messages[i] is beginning[i] or messages[i] == beginning[i] or canonical(messages[i]) == canonical(beginning[i])
        for i in range(len(beginning) - 1, -1, -1)
    )


def canonical(message: Message) -> Hashable:
    """Return what a message says, however a client spelled it."""
    calls = tuple((call.name, _canonical_json(call.arguments)) for call in message.tool_calls)
    return message.role, message.content.strip(), message.reasoning.strip(), calls


def fork_cause(messages: Sequence[Message], tools: Sequence[ToolSpec], held: Sequence[Held]) -> ForkCause:
    """Name why ``messages`` extend none of the recorded turns."""
    candidates = [turn for turn in held if starts_with(messages, turn.messages) or starts_with(turn.messages, messages)]
    if candidates:
        return "branched" if any(turn.tools == tuple(tools) for turn in candidates) else "tools_changed"
    bare = [_without_reasoning(message) for message in messages]
    for turn in held:
        if starts_with(bare, [_without_reasoning(message) for message in turn.messages]):
            return "thinking_dropped"
    opening = _opening(messages)
    if not any(_opening(turn.messages) == opening for turn in held):
        return "new_conversation"
    return "history_edited"


def _without_reasoning(message: Message) -> Message:
    if not message.reasoning:
        return message
    return Message(role=message.role, content=message.content, tool_calls=message.tool_calls)


def _opening(messages: Sequence[Message]) -> Hashable:
    """Return the first thing a user says; a conversation without one opens with all it has."""
    return next((canonical(message) for message in messages if message.role == "user"), tuple(map(canonical, messages)))


def _canonical_json(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return text.strip()
