"""Text stream: ids in, one by one; their text out, as soon as no later id can change it.

An id may spell a part of a character, so what is decoded ends in U+FFFD until the rest has come. Only the ids since the
last point where a character ended are decoded again, with the few before them as context, because some decoders spell
the first id of a sequence differently. So the cost of an id does not grow with the text.
"""

from collections.abc import Callable, Sequence

_INCOMPLETE = "\ufffd"
_MAX_PENDING = 16
"""Ids that may wait for the end of a character; more only wait where the bytes are no text at all."""
_MARGIN = 4
"""Ids that are never cut off from those to come: a character has at most 4 bytes, an id at least one."""


class TextStream:
    """Decodes a growing sequence; what ``feed`` and ``finish`` return, joined, is the text of all ids.

    The exception is a decoder that reads a whole run of byte tokens again when one of them is invalid (byte fallback).
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Start with nothing; ``decode`` gives the text of any sequence of ids."""
        self._decode = decode
        self._context: list[int] = []
        self._context_text = ""
        self._pending: list[int] = []

    def feed(self, token_id: int) -> str:
        """Take the next id; return the text that is certain now and was not before."""
        self._pending.append(token_id)
        text = self._spelled(self._pending)
        if not text.endswith(_INCOMPLETE):
            return self._settle(text, len(self._pending))
        return self._cut(text) if len(self._pending) > _MAX_PENDING else ""

    def finish(self) -> str:
        """Return the text that was still waiting; the stream has ended."""
        return self._settle(self._spelled(self._pending), len(self._pending)) if self._pending else ""

    def _spelled(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids that follow the context."""
        return self._decode([*self._context, *token_ids])[len(self._context_text) :]

    def _settle(self, text: str, count: int) -> str:
        """Return the text of the first pending ids and make these ids the context of the others."""
        self._context, self._pending = self._pending[:count], self._pending[count:]
        self._context_text = self._decode(self._context)
        return text

    def _cut(self, text: str) -> str:
        """Settle pending ids whose text does not depend on those behind them, where such can be told."""
        latest = len(self._pending) - _MARGIN
        for count in range(latest, latest - 2 * _MARGIN, -1):
            before = self._spelled(self._pending[:count])
            if before + self._decode(self._pending[count:]) == text:
                return self._settle(before, count)
        return ""
