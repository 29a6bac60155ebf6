"""Reply stream: sampled ids in, as they come; pieces of the message out that the whole reply will be parsed into.

    ids --TextStream--> text --StopFilter--> text before a stop --reader--> reasoning and content, joined = the message

Every stage holds back what a later id could still change: bytes of a character, the beginning of a stop text or tag,
line breaks that are stripped at the end. So what has been sent is always a beginning of what parsing.py makes of the
whole reply, and ``finish`` sends the rest. Tool calls are never sent: they come with the message.
"""

from collections.abc import Sequence
from typing import Literal

from turnwright.core.message import Message
from turnwright.core.protocols import ReplyDelta
from turnwright.rendering.decoding import TextStream
from turnwright.rendering.parsing import CALL_CLOSE, CALL_OPEN, THINK_CLOSE, THINK_OPEN
from turnwright.rendering.renderer import Renderer
from turnwright.rendering.stops import StopFilter, possible_start


class ReplyStream:
    """The deltas of one reply.

    Example::

        stream = ReplyStream(renderer, stop=("END",))
        deltas = stream.feed(some_ids) + stream.feed(more_ids)
        deltas += stream.finish(renderer.parse_reply(some_ids + more_ids, turn=0, stop=("END",)))
    """

    def __init__(self, renderer: Renderer, *, stop: tuple[str, ...] = ()) -> None:
        """Start a reply.

        Args:
            renderer: parses the reply when it is whole.
            stop: texts before which the reply is cut, as ``Renderer.parse_reply`` gets them.
        """
        self._stop_token_ids = renderer.stop_token_ids
        self._text = TextStream(renderer.decode)
        self._before_stop = StopFilter(stop)
        self._reader = _Reader(thinking=renderer.template.opens_thinking)
        self._held_id: int | None = None

    def feed(self, token_ids: Sequence[int]) -> list[ReplyDelta]:
        """Take newly sampled ids; return the text they make certain, at most one delta of each kind."""
        text = "".join(map(self._text_of, token_ids))
        return self._reader.feed(self._before_stop.feed(text))

    def finish(self, message: Message) -> list[ReplyDelta]:
        """Return what is left of the parsed message."""
        return self._reader.finish(message)

    def _text_of(self, token_id: int) -> str:
        """Return the text that an id makes certain; a stop token is text only if another id follows it."""
        text = "" if self._held_id is None else self._text.feed(self._held_id)
        if token_id in self._stop_token_ids:
            self._held_id = token_id
            return text
        self._held_id = None
        return text + self._text.feed(token_id)


class _Reader:
    """Reads a reply's text from left to right as ``parse_reply_text`` reads all of it."""

    def __init__(self, *, thinking: bool) -> None:
        self._thinking = thinking
        self._place: Literal["start", "reasoning", "content", "call"] = "start"
        self._held = ""
        self._reasoning = _Stripped()
        self._content = _Stripped()

    def feed(self, text: str) -> list[ReplyDelta]:
        self._held += text
        reasoning = content = ""
        place = None
        while place != self._place:
            place = self._place
            if place == "start":
                self._read_start()
            elif place == "reasoning":
                reasoning += self._reasoning.feed(self._read_until(THINK_CLOSE, "content"))
            elif place == "content":
                content += self._content.feed(self._read_until(CALL_OPEN, "call"))
            else:
                # A call that opens within an open one ends where the first closing tag stands, too.
                self._read_until(CALL_CLOSE, "content")
        return _deltas(reasoning, content)

    def finish(self, message: Message) -> list[ReplyDelta]:
        return _deltas(
            message.reasoning[self._reasoning.num_sent :],
            message.content[self._content.num_sent :],
        )

    def _read_start(self) -> None:
        """Find out whether the reply opens with reasoning; white space before it belongs to neither."""
        text = self._held.lstrip()
        if text.startswith(THINK_OPEN):
            self._place, self._held = "reasoning", text[len(THINK_OPEN) :]
        elif not THINK_OPEN.startswith(text):
            self._place, self._held = ("reasoning", text) if self._thinking else ("content", self._held)

    def _read_until(self, tag: str, then: Literal["content", "call"]) -> str:
        """Return the text before a tag and go on to the next place; without it, what cannot be a part of it."""
        text, found, rest = self._held.partition(tag)
        if found:
            self._place, self._held = then, rest
            return text
        certain = possible_start(text, (tag,))
        self._held = text[certain:]
        return text[:certain]


class _Stripped:
    """Text without the line breaks at its two ends, the end being unknown."""

    def __init__(self) -> None:
        self.num_sent = 0
        self._breaks = ""

    def feed(self, text: str) -> str:
        """Take more text; return it without line breaks that may turn out to be the last."""
        text = self._breaks + text
        if not self.num_sent:
            text = text.lstrip("\n")
        certain = text.rstrip("\n")
        self._breaks = text[len(certain) :]
        self.num_sent += len(certain)
        return certain


def _deltas(reasoning: str, content: str) -> list[ReplyDelta]:
    deltas = (ReplyDelta(kind="reasoning", text=reasoning), ReplyDelta(kind="content", text=content))
    return [delta for delta in deltas if delta.text]
