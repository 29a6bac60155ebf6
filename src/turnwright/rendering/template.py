"""Chat template: messages in, text out, and what the template does to history.

Templates differ: some rewrite or drop parts of earlier replies once something follows. Whether held ids may be kept
depends on it, so it is probed once, by rendering short conversations, and never guessed from a model's name.

Which tokens frame a conversation is found the same way; control_tokens.py tells how the template's own are kept apart
from texts that spell them.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from turnwright.core.errors import UnsupportedModelError
from turnwright.core.message import Message, Role, ToolCall, ToolSpec
from turnwright.rendering.cache import RecentlyUsed
from turnwright.rendering.control_tokens import ControlTokens
from turnwright.rendering.parsing import CALL_CLOSE, CALL_OPEN, THINK_CLOSE, THINK_OPEN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TAGS = frozenset((THINK_OPEN, THINK_CLOSE, CALL_OPEN, CALL_CLOSE))

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
    """Renders conversations to text; reasoning a template knows nothing of is written into the content.

    Call ids are numbered anew after each reply (call00000, call00001, ...), whatever a client made of them, so that no
    prompt depends on them; nine letters and digits, because some templates insist on that.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Probe the tokenizer's template; raises UnsupportedModelError when there is none."""
        if not tokenizer.chat_template:
            raise UnsupportedModelError(
                f"tokenizer {tokenizer.name_or_path!r} has no chat template: expected one in tokenizer_config.json or "
                "chat_template.jinja; take the instruct model's tokenizer or set tokenizer.chat_template"
            )
        self._tokenizer = tokenizer
        self._fold_reasoning = False
        self._built: frozenset[str] = frozenset()
        # Nothing is marked while it is being found what to mark.
        self._mark_with(ControlTokens(tokenizer, ()))
        self._mark_with(ControlTokens(tokenizer, self._control_spellings()))
        self._built = self._find_built()
        self._fold_reasoning = STAND_IN not in self.text([USER, _SPOKEN], ())
        self.opening = self.text([USER], (), generation_prompt=True)
        """The shortest conversation, up to where the reply begins; marked."""
        self.opens_thinking = self.opening.rstrip().endswith(THINK_OPEN)
        """The generation prompt already opens the reasoning tag."""
        self.mentions_call_ids = "tool_call_id" in str(tokenizer.chat_template)
        self._before_user = self._probe(_SPOKEN, USER)
        self._before_tool = self._probe(_CALLING, _RESULT)

    def following(self, role: Role) -> Following:
        """Return what happens to earlier replies when a message of ``role`` follows."""
        return self._before_tool if role == "tool" else self._before_user

    def text(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, generation_prompt: bool = False) -> str:
        """Render a conversation; the template's own control tokens are marked, see ``encode`` and ``restored``.

        Raises:
            UnsupportedModelError: the template refuses it, such as one that allows a single call per reply, or it
                holds text that no tokenizer can encode.
        """
        from jinja2 import TemplateError

        said = _as_dicts(messages)
        # Any, because transformers takes functions in this list, too.
        offered: list[Any] = [_tool_as_dict(tool) for tool in tools]
        try:
            self._require_encodable(said, offered)
            source = self._tokenizer.get_chat_template(None, offered or None)
            rendered = self._tokenizer.apply_chat_template(
                [self._folded(message) for message in said],
                tools=offered or None,
                chat_template=self._marked_sources.get(source, lambda: self._control.mark(source)),
                tokenize=False,
                add_generation_prompt=generation_prompt,
                **self._variables,
            )
        # What a template does to values it did not expect: it indexes, adds, calls and descends.
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            roles = ", ".join(message.role for message in messages) or "no messages"
            raise UnsupportedModelError(
                f"the chat template of {self._tokenizer.name_or_path!r} does not render a conversation of {roles}: "
                f"{error}; use a template that does, or an environment without such messages"
            ) from error
        return cast(str, rendered)

    def encode(self, marked: str) -> tuple[int, ...]:
        """Return the ids of what ``text`` rendered, or of a part of it."""
        return self._control.encode(marked, trusted=self._built)

    def _mark_with(self, control: ControlTokens) -> None:
        """Mark these control tokens in the template's source and in its variables (bos_token, eos_token, ...)."""
        self._control = control
        self._marked_sources = RecentlyUsed[str](2**20)
        variables = self._tokenizer.special_tokens_map.items()
        self._variables: dict[str, Any] = {
            name: control.mark(text) for name, text in variables if isinstance(text, str)
        }

    def _control_spellings(self) -> frozenset[str]:
        """Return the spellings of all special tokens, and of added ones that frame a plain conversation."""
        # transformers leaves the type of this property open; a single letter is no control token.
        tokens = [token for token in cast(Any, self._tokenizer).added_tokens_decoder.values() if len(token.content) > 1]
        frame = self.text([USER, Message(role="assistant", content="y"), USER], (), generation_prompt=True)
        framing = {token.content for token in tokens if token.content.strip() and token.content in frame}
        return frozenset({token.content for token in tokens if token.special} | framing.difference(_TAGS))

    def _find_built(self) -> frozenset[str]:
        """Return the control tokens that the template puts together from pieces, such as ``<|`` and a role."""
        system = Message(role="system", content="s")
        built: frozenset[str] = frozenset()
        for conversation in ([USER, _SPOKEN, USER], [system, USER], [USER, _CALLING, _RESULT]):
            with suppress(UnsupportedModelError):
                built |= self._control.unmarked(self.text(conversation, (_TOOL,), generation_prompt=True))
        return built

    def _probe(self, reply: Message, following: Message) -> Following:
        plain = Message(role="assistant", content=reply.content, tool_calls=reply.tool_calls)
        try:
            shorter = self.text([USER, plain], (_TOOL,))
            longer = self.text([USER, plain, following], (_TOOL,))
            thoughtful = self.text([USER, reply, following], (_TOOL,))
        except UnsupportedModelError:
            return Following(keeps_text=False, keeps_reasoning=False)
        return Following(keeps_text=longer.startswith(shorter), keeps_reasoning=STAND_IN in thoughtful)

    def _require_encodable(self, said: list[dict[str, Any]], offered: list[Any]) -> None:
        """Refuse texts that could be taken for the template's own; raises ValueError."""
        texts = json.dumps([said, offered], ensure_ascii=False)
        try:
            texts.encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            around = error.object[max(0, error.start - 20) : error.start]
            raise ValueError(
                f"text holds {half!r}, half of a surrogate pair (after {around!r}), which is no character"
            ) from error
        for spelling in self._built:
            if spelling in texts:
                raise ValueError(
                    f"text spells {spelling!r}, a control token that this template puts together from pieces, so that "
                    "the two cannot be told apart; write the token as a whole in the template"
                )

    def _folded(self, message: dict[str, Any]) -> dict[str, Any]:
        """Write reasoning into the content when the template has no place for it."""
        if not self._fold_reasoning or "reasoning_content" not in message:
            return message
        think, close = self._control.mark(THINK_OPEN), self._control.mark(THINK_CLOSE)
        folded = dict(message)
        folded["content"] = f"{think}{folded.pop('reasoning_content')}{close}{message['content']}"
        return folded


def _as_dicts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as templates read them."""
    rendered: list[dict[str, Any]] = []
    call_ids: dict[str | None, str] = {}
    for message in messages:
        if message.role == "assistant":
            call_ids = {}
        entry: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.reasoning:
            entry["reasoning_content"] = message.reasoning
        if message.tool_calls:
            entry["tool_calls"] = [_call_as_dict(call, id=_number(call.id, call_ids)) for call in message.tool_calls]
        if message.role == "tool":
            entry["tool_call_id"] = _number(message.tool_call_id, call_ids)
            entry["name"] = message.name
        rendered.append(entry)
    return rendered


def _number(call_id: str | None, known: dict[str | None, str]) -> str:
    return known.setdefault(call_id, f"call{len(known):05d}")


def _call_as_dict(call: ToolCall, *, id: str) -> dict[str, Any]:
    """Arguments go in as an object, because some templates write text as a quoted string."""
    arguments: Any = call.arguments
    if call.name:
        with suppress(ValueError, RecursionError):
            arguments = json.loads(call.arguments)
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool_as_dict(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
