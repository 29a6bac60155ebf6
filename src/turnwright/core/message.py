"""Message: one entry of a conversation, and the calls and tools it speaks of (OpenAI chat names)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One function call asked for by the policy.

    ``arguments`` stays the JSON *text* the policy wrote, as in the OpenAI dialect: text that does not
    parse is still a call, answered with an error the policy can react to.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message.

    Example::

        Message(role="assistant", tool_calls=(ToolCall(id="call_0_0", name="get_order", arguments='{"order": "O3"}'),))
        Message(role="tool", content='{"item": "K1"}', tool_call_id="call_0_0", name="get_order")
    """

    role: Role
    content: str = ""
    reasoning: str = ""
    """Text between the reasoning tags of an assistant reply; empty when there is none."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """For role "tool": the call this answers."""
    name: str | None = None
    """For role "tool": the tool's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What the policy is told about a tool."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON Schema of the arguments object."""
