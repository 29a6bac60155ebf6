"""Renderer: messages in, token ids out, and sampled ids back into a message. One per run, shared by all recorders.

Works with any Hugging Face tokenizer that has a chat template. Sampled ids are never tokenised again: a continuation
is the text that the template puts between the end of a reply and the next generation prompt, tokenised on its own.
That text is found by rendering a short stand-in conversation, so its cost does not grow with the history, and it is
cached, because the attempts of a group meet the same tool results.

What a message, a tool's result or a tool's description spells is always ordinary text: only the template writes tokens
that open and close turns (control_tokens.py).
"""

import json
from bisect import bisect_right
from collections.abc import Hashable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from turnwright.core.errors import UnsupportedModelError
from turnwright.core.message import Message, ToolSpec
from turnwright.rendering.cache import RecentlyUsed
from turnwright.rendering.control_tokens import restored
from turnwright.rendering.decoding import TextStream
from turnwright.rendering.parsing import parse_reply_text
from turnwright.rendering.stops import cut_at_stop
from turnwright.rendering.template import STAND_IN, USER, ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Renderer:
    """Turns conversations into ids by the tokenizer's chat template, and sampled ids into messages.

    Example::

        renderer = Renderer.load("models/qwen")
        prompt = renderer.prompt_ids([Message(role="user", content="hi")], tools=())
        reply = renderer.parse_reply(generation.token_ids, turn=0)
        more = renderer.continuation_ids(generation.token_ids, [Message(role="user", content="and?")], tools=())
        next_prompt = prompt + generation.token_ids + more
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", *, stop_token_ids: frozenset[int] = frozenset()) -> None:
        """Probe the template.

        Args:
            tokenizer: must have a chat template.
            stop_token_ids: ids that end a reply besides the tokenizer's eos and the template's end of turn.

        Raises:
            UnsupportedModelError: there is no chat template, or nothing that ends a reply.
        """
        self.tokenizer = tokenizer
        self.template = ChatTemplate(tokenizer)
        self._prompts = RecentlyUsed[tuple[int, ...]](2**21)
        self._tails = RecentlyUsed[tuple[int, ...]](2**20)
        self._replies = RecentlyUsed[tuple[int, ...]](2**20)
        self._prefixes = RecentlyUsed[tuple[int, ...]](2**18)
        self._last_tools: tuple[tuple[ToolSpec, ...], str] = ((), "")
        self._end_of_turn = self._find_end_of_turn()
        ends = {self._end_of_turn, cast("int | None", tokenizer.eos_token_id)} - {None}
        self.stop_token_ids: frozenset[int] = stop_token_ids | cast("set[int]", ends)
        if not self.stop_token_ids:
            raise UnsupportedModelError(
                f"tokenizer {tokenizer.name_or_path!r} ends replies with nothing: expected an eos_token, or a special "
                "token after an assistant message in the chat template; set tokenizer.eos_token"
            )

    @classmethod
    def load(cls, path: str | Path) -> "Renderer":
        """Load a tokenizer and, where the folder has one, the stop ids of generation_config.json."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(path))
        config = Path(path) / "generation_config.json"
        declared = json.loads(config.read_text(encoding="utf-8")).get("eos_token_id") if config.is_file() else None
        stops = declared if isinstance(declared, list) else [] if declared is None else [declared]
        return cls(tokenizer, stop_token_ids=frozenset(stops))

    def prompt_text(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        """Return the full rendering of a conversation, up to where the reply begins."""
        return restored(self.template.text(messages, tools, generation_prompt=True))

    def require_renderable(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> None:
        """Raise UnsupportedModelError, with the template's own reason, when it does not render a conversation."""
        self.template.text(messages, tools, generation_prompt=True)

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[int, ...]:
        """Return the ids of ``prompt_text``."""
        key = (*map(self._key, messages), self._tools_key(tools))
        return self._prompts.get(
            key, lambda: self.template.encode(self.template.text(messages, tools, generation_prompt=True))
        )

    def shared_prefix_length(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        """Return how many leading ids of the prompt depend on system text and tools alone."""
        system = messages[:1] if messages and messages[0].role == "system" else []
        if not system and not tools:
            return 0
        key = (*map(self._key, system), self._tools_key(tools))
        shared = self._prefixes.get(key, lambda: self._find_shared_prefix(system, tools))
        # The first letters of a user's text can merge with the last token before it: trust only what is there.
        return _common_length(shared, self.prompt_ids(messages, tools))

    def reply_ids(self, message: Message) -> tuple[int, ...]:
        """Return an assistant message as the policy would sample it, stop token included.

        Raises:
            UnsupportedModelError: the template renders replies that do not begin where its generation prompt ends.
        """
        return self._replies.get(self._key(message), lambda: self._render_reply(message))

    def continuation_ids(
        self, sampled_ids: Sequence[int], new_messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> tuple[int, ...]:
        """Return the ids that follow a held prompt and ``sampled_ids``, up to the next generation prompt.

        A stop token that was sampled is not repeated; a reply that was cut gets the end of turn it lacks.

        Args:
            sampled_ids: the last reply, as the engine sampled it.
            new_messages: what was said after that reply.
            tools: the conversation's tools.
        """
        key = (*map(self._key, new_messages), self._tools_key(tools))
        tail = self._tails.get(key, lambda: self._render_tail(new_messages, tools))
        last = sampled_ids[-1] if sampled_ids else None
        # Some templates write a space or a line break before the end of turn.
        if last in self.stop_token_ids and last in tail[:2]:
            return tail[tail.index(last) + 1 :]
        return tail

    def remainder_ids(self, held_text: str, full_ids: Sequence[int]) -> tuple[int, ...] | None:
        """Return the ids at the end of ``full_ids`` whose text follows ``held_text``.

        Returns:
            None when the text of ``full_ids`` does not begin with ``held_text``, or when an id spans its end.
        """
        counts = range(len(full_ids) + 1)
        # The longest of equal length: one that ends within a character is as long as one that ends behind it.
        cut = bisect_right(counts, len(held_text), key=lambda count: len(self.decode(full_ids[:count]))) - 1
        return tuple(full_ids[cut:]) if self.decode(full_ids[:cut]) == held_text else None

    def parse_reply(self, token_ids: Sequence[int], *, turn: int, stop: tuple[str, ...] = ()) -> Message:
        """Return the assistant message that sampled ids spell, cut before the earliest text of ``stop``."""
        text = cut_at_stop(self.decode(self._without_stop_token(token_ids)), stop)
        return parse_reply_text(text, turn=turn, thinking=self.template.opens_thinking)

    def has_stop(self, token_ids: Sequence[int], stop: tuple[str, ...]) -> bool:
        """Tell whether the newest of ``token_ids`` completes a text of ``stop``.

        Only the end is decoded, so that it can be asked after each sampled id.
        """
        if not stop:
            return False
        # An id spells one byte or more; a few more in front, because some decoders change what the first id spells.
        reach = max(len(text.encode()) for text in stop) + 4
        tail = self.decode(self._without_stop_token(token_ids[-reach - 1 :]))
        return any(text in tail for text in stop)

    def token_texts(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        """Return the text of each id; together they are the text of all.

        Bytes that are no whole character yet count to the id that completes it.
        """
        stream = TextStream(self.decode)
        texts = [stream.feed(token) for token in token_ids]
        if texts:
            texts[-1] += stream.finish()
        return tuple(texts)

    def is_canonical(self, reply: Message, sampled_ids: Sequence[int]) -> bool:
        """Tell whether the template renders ``reply`` to exactly the ids that were sampled."""
        try:
            canonical = self.reply_ids(reply)
        except UnsupportedModelError:
            return False
        stopped = len(self._without_stop_token(sampled_ids)) < len(sampled_ids)
        return tuple(sampled_ids) == (canonical if stopped else canonical[:-1])

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokenise text as it stands, adding nothing: control tokens that it spells are control tokens."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def num_text_tokens(self, text: str) -> int:
        """Return how many ids a message's text has by itself, where control tokens that it spells are text."""
        return len(self.template.encode(text))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens included."""
        text = self.tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return cast(str, text)

    def _without_stop_token(self, token_ids: Sequence[int]) -> Sequence[int]:
        return token_ids[:-1] if token_ids and token_ids[-1] in self.stop_token_ids else token_ids

    def _key(self, message: Message) -> Hashable:
        """Return what the rendering of a message depends on; call ids only where the template writes them."""
        if message.role != "tool":
            return message
        return message.role, message.content, message.name, self.template.mentions_call_ids and message.tool_call_id

    def _tools_key(self, tools: Sequence[ToolSpec]) -> str:
        """Return the tools as text; an episode passes the same ones each turn, so the last are remembered."""
        known, key = self._last_tools
        if tuple(tools) == known:
            return key
        key = json.dumps([[tool.name, tool.description, dict(tool.parameters)] for tool in tools])
        self._last_tools = (tuple(tools), key)
        return key

    def _find_end_of_turn(self) -> int | None:
        """Return the special token that the template writes after a reply, if it writes one."""
        tail = self._render_tail([USER], ())
        # transformers leaves the type of this method open.
        added = set(cast(Any, self.tokenizer).get_added_vocab().values())
        return next((token for token in tail[:2] if token in added), None)

    def _find_shared_prefix(self, system: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[int, ...]:
        one, other = (self.prompt_ids([*system, Message(role="user", content=text)], tools) for text in ("a", "Z"))
        return one[: _common_length(one, other)]

    def _render_reply(self, message: Message) -> tuple[int, ...]:
        text = self.template.text([USER, message], ())
        opening = self.template.opening
        if not text.startswith(opening):
            raise UnsupportedModelError(
                f"the chat template of {self.tokenizer.name_or_path!r} renders a reply that does not begin where the "
                f"generation prompt ends: expected {opening!r}, got {text[: len(opening)]!r}; use a template that "
                "renders replies as they are sampled"
            )
        ids = self.template.encode(text[len(opening) :])
        stops = [position for position, token in enumerate(ids) if token in self.stop_token_ids]
        if stops:
            return ids[: stops[-1] + 1]
        return (*ids, cast(int, self.tokenizer.eos_token_id))

    def _render_tail(self, new_messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[int, ...]:
        stand_in = STAND_IN
        # What stands before the reply must not spell it.
        while stand_in in self._tools_key(tools):
            stand_in += STAND_IN
        reply = Message(role="assistant", content=stand_in)
        text = self.template.text([USER, reply, *new_messages], tools, generation_prompt=True)
        return self.template.encode(text.partition(stand_in)[2])


def _common_length(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
