"""Compares conversations: which earlier reply a request goes on from, and if none, what became of the history."""

import json
from collections.abc import Hashable, Iterable, Sequence
from itertools import takewhile
from typing import Literal, Protocol

from turnwright.core.message import Message, ToolSpec
from turnwright.gateway.held import Held

ForkCause = Literal[
    "tools_changed",
    "thinking_dropped",
    "template_rewrites_history",
    "branched",
    "sub_agent",
    "compaction",
    "history_edited",
    "context",
]
"""Why a request starts a new row:

- tools_changed: the same messages under other tools;
- thinking_dropped: the reasoning of an earlier reply is gone, by the caller's hand or by the template's;
- template_rewrites_history: the template renders earlier replies differently now that something follows;
- branched: another request already went on from there, or the same one is asked again;
- sub_agent: no recorded request opens like this one;
- compaction: the opening is kept, but a stretch of the middle gave way to fewer messages;
- history_edited: anything else;
- context: the built-in agent's context policy shortened the history; otherwise it would be one of OWN_EDITS.
"""

OWN_EDITS: frozenset[ForkCause] = frozenset({"branched", "compaction", "history_edited"})
"""What an agent's context policy does to a history."""


class Conversation(Protocol):
    """A call to compare with: a recorded one, through its reply, or one in work."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """What was said."""
        ...

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Tools of the request."""
        ...


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
    return message.role, message.content.strip(), message.reasoning.strip(), _canonical_calls(message)


def answered_turn(messages: Sequence[Message], held: Iterable[Held]) -> Held | None:
    """Return the latest turn whose reply is the last one in ``messages``, reasoning and spelling aside.

    A request that forks still shows by this that its sender got that reply.
    """
    said = next((_said(message) for message in reversed(messages) if message.role == "assistant"), None)
    return max((turn for turn in held if _said(turn.reply) == said), key=lambda turn: turn.index, default=None)


def fork_cause(messages: Sequence[Message], tools: Sequence[ToolSpec], calls: Sequence[Conversation]) -> ForkCause:
    """Name why ``messages`` extend none of the calls so far, which are in the order of asking."""
    candidates = [
        call for call in calls if starts_with(messages, call.messages) or starts_with(call.messages, messages)
    ]
    if candidates:
        return "branched" if any(call.tools == tuple(tools) for call in candidates) else "tools_changed"
    bare = [_without_reasoning(message) for message in messages]
    for call in calls:
        has_reasoning = any(message.reasoning for message in call.messages)
        if has_reasoning and starts_with(bare, [_without_reasoning(message) for message in call.messages]):
            return "thinking_dropped"
    opening = _opening(messages)
    alike = [call for call in calls if _first_question(call.messages) == _first_question(messages)]
    same_opening = [call for call in alike if _opening(call.messages) == opening]
    begins = not any(message.role == "assistant" for message in messages)
    if not alike or (begins and not same_opening):
        return "sub_agent"
    if same_opening and _is_compacted(messages, same_opening[-1].messages):
        return "compaction"
    return "history_edited"


def _is_compacted(messages: Sequence[Message], held: Sequence[Message]) -> bool:
    """Tell whether ``messages`` have fewer messages where ``held`` has its middle.

    Where the end of the held conversation is still there, only what stands before it is compared.
    """
    asked, before = [canonical(message) for message in messages], [canonical(message) for message in held]
    same = 0
    while same < min(len(asked), len(before)) and asked[same] == before[same]:
        same += 1
    new, old = asked[same:], before[same:]
    ends = [i + 1 for i in range(len(new)) if old and new[i] == old[-1]]
    kept, end = max(((_common_end(new[:end], old), end) for end in ends), default=(0, len(new)))
    return end - kept < len(old) - kept


def _common_end(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False)))


def _without_reasoning(message: Message) -> Message:
    if not message.reasoning:
        return message
    return Message(role=message.role, content=message.content, tool_calls=message.tool_calls)


def _first_question(messages: Sequence[Message]) -> Hashable:
    return _opening(messages)[-1:]


def _opening(messages: Sequence[Message]) -> tuple[Hashable, ...]:
    """Return everything through the first thing a user says; a conversation without one opens with all it has."""
    end = next((i for i, message in enumerate(messages) if message.role == "user"), len(messages) - 1)
    return tuple(map(canonical, messages[: end + 1]))


def _said(message: Message) -> Hashable:
    return message.content.strip(), _canonical_calls(message)


def _canonical_calls(message: Message) -> Hashable:
    return tuple((call.name, _canonical_json(call.arguments)) for call in message.tool_calls)


def _canonical_json(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return text.strip()
