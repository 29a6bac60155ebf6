"""Chat template: messages in, text out, and what the template does to history.

Templates differ: some rewrite or drop parts of earlier replies once something follows. Whether held ids may be kept
depends on it, so it is probed once, by rendering short conversations, and never guessed from a model's name.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from turnwright.core.errors import UnsupportedModelError
from turnwright.core.message import Message, Role, ToolCall, ToolSpec
from turnwright.rendering.parsing import THINK_CLOSE, THINK_OPEN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STAND_IN = "TURNWRIGHT-STAND-IN"
"""Text that no conversation contains; marks a place in a rendering."""

USER = Message(role="user", content="x")
_CALL = ToolCall(id="call00000", name="f", arguments='{"a": "b"}')
_SPOKEN = Message(role="assistant", content="y", reasoning=STAND_IN)
_CALLING = Message(role="assistant", reasoning=STAND_IN, tool_calls=(_CALL,))
_RESULT = Message(role="tool", content="z", tool_call_id="call00000", name="f")
_TOOL = ToolSpec(
    name="f",
    description="d",
    parameters={"type": "object", "properties": {"a": {"type": "string", "description": "e"}}, "required": ["a"]},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What the template does to a reply once a message of one role follows it."""

    keeps_text: bool
    """The rendering up to the reply is a prefix of the longer one (replies without reasoning)."""
    keeps_reasoning: bool
    """Reasoning stays in the rendering."""


class ChatTemplate:
    """Renders conversations to text; reasoning a template knows nothing of is written into the content."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Probe the tokenizer's template; raises UnsupportedModelError when there is none."""
        if not tokenizer.chat_template:
            raise UnsupportedModelError(
                f"tokenizer {tokenizer.name_or_path!r} has no chat template: expected one in tokenizer_config.json or "
                "chat_template.jinja; take the instruct model's tokenizer or set tokenizer.chat_template"
            )
        self._tokenizer = tokenizer
        self._fold_reasoning = False
        self._fold_reasoning = STAND_IN not in self.text([USER, _SPOKEN], ())
        self.opening = self.text([USER], (), generation_prompt=True)
        """The shortest conversation, up to where the reply begins."""
        self.opens_thinking = self.opening.rstrip().endswith(THINK_OPEN)
        """The generation prompt already opens the reasoning tag."""
        self.mentions_call_ids = "tool_call_id" in str(tokenizer.chat_template)
        self._before_user = self._probe(_SPOKEN, USER)
        self._before_tool = self._probe(_CALLING, _RESULT)

    def following(self, role: Role) -> Following:
        """Return what happens to earlier replies when a message of ``role`` follows."""
        return self._before_tool if role == "tool" else self._before_user

    def text(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, generation_prompt: bool = False) -> str:
        """Render a conversation.

        Raises:
            UnsupportedModelError: the template refuses it, such as one that allows a single call per reply.
        """
        from jinja2 import TemplateError

        try:
            rendered = self._tokenizer.apply_chat_template(
                [self._as_dict(message) for message in messages],
                tools=[_tool_as_dict(tool) for tool in tools] or None,
                tokenize=False,
                add_generation_prompt=generation_prompt,
            )
        except (TemplateError, TypeError) as error:
            roles = ", ".join(message.role for message in messages)
            raise UnsupportedModelError(
                f"the chat template of {self._tokenizer.name_or_path!r} does not render a conversation of {roles}: "
                f"{error}; use a template that does, or an environment without such messages"
            ) from error
        return cast(str, rendered)

    def _probe(self, reply: Message, following: Message) -> Following:
        plain = Message(role="assistant", content=reply.content, tool_calls=reply.tool_calls)
        try:
            shorter = self.text([USER, plain], (_TOOL,))
            longer = self.text([USER, plain, following], (_TOOL,))
            thoughtful = self.text([USER, reply, following], (_TOOL,))
        except UnsupportedModelError:
            return Following(keeps_text=False, keeps_reasoning=False)
        return Following(keeps_text=longer.startswith(shorter), keeps_reasoning=STAND_IN in thoughtful)

    def _as_dict(self, message: Message) -> dict[str, Any]:
        content = message.content
        if message.reasoning and self._fold_reasoning:
            content = f"{THINK_OPEN}{message.reasoning}{THINK_CLOSE}{content}"
        rendered: dict[str, Any] = {"role": message.role, "content": content}
        if message.reasoning and not self._fold_reasoning:
            rendered["reasoning_content"] = message.reasoning
        if message.tool_calls:
            rendered["tool_calls"] = [_call_as_dict(call) for call in message.tool_calls]
        if message.role == "tool":
            rendered["tool_call_id"] = message.tool_call_id
            rendered["name"] = message.name
        return rendered


def _call_as_dict(call: ToolCall) -> dict[str, Any]:
    """Arguments go in as an object, because some templates write text as a quoted string."""
    arguments: Any = call.arguments
    if call.name:
        with suppress(ValueError, RecursionError):
            arguments = json.loads(call.arguments)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool_as_dict(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
