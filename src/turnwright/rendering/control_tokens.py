"""Control tokens: the ids that open and close turns. Only a chat template may write them, never a text it renders.

    template source --mark--> marked source --render with callers' texts--> marked text --encode--> ids

The spellings in the template's own source carry a mark. A spelling without it in the rendered text came out of what a
caller wrote - a message, a tool's result, the keys of a schema that the template joins - and is encoded in two halves,
as ordinary text. The mark is half of a surrogate pair: no text that a tokenizer can encode contains it, so it cannot be
forged. Where no such spelling occurs, the ids are those of the whole text, in one piece.
"""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

from turnwright.core.errors import UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "\ud800"
"""Stands before each control token that the template itself writes."""


def restored(marked: str) -> str:
    """Return a rendering as the policy reads it, without marks."""
    return marked.replace(MARK, "")


class ControlTokens:
    """The control tokens of one tokenizer.

    Example::

        control = ControlTokens(tokenizer, {"<|im_start|>", "<|im_end|>"})
        control.encode(control.mark("<|im_end|>") + "<|im_end|>")  # the id, then ordinary text
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", spellings: Collection[str]) -> None:
        """Work out how each spelling is encoded when it is only text.

        Raises:
            UnsupportedModelError: the halves of a spelling hold a control token again.
        """
        self._tokenizer = tokenizer
        self._backend: Any = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        # The longest first: a token wins over one that it contains. (?!) matches nothing.
        pattern = "|".join(re.escape(text) for text in sorted(spellings, key=len, reverse=True)) or "(?!)"
        self._spelling = re.compile(pattern)
        self._unmarked = re.compile(f"(?<!{MARK})({pattern})")
        self._as_text = {spelling: self._encode(spelling[:1]) + self._encode(spelling[1:]) for spelling in spellings}
        # transformers leaves the type of this method open.
        added: dict[str, int] = cast(Any, tokenizer).get_added_vocab()
        # What a tokenizer does not know is unknown as text, too.
        control = {added[spelling] for spelling in spellings} - {cast("int | None", tokenizer.unk_token_id)}
        for spelling, halves in self._as_text.items():
            if control.intersection(halves):
                raise UnsupportedModelError(
                    f"tokenizer {tokenizer.name_or_path!r} cannot write the control token {spelling!r} as ordinary "
                    f"text: got ids {halves}, expected no control token among them; take a tokenizer whose control "
                    "tokens are matched as a whole only"
                )

    def mark(self, source: str) -> str:
        """Return text of the template's own with a mark before each control token."""
        return self._spelling.sub(rf"{MARK}\g<0>", source)

    def unmarked(self, marked: str) -> frozenset[str]:
        """Return the spellings in a rendering that the template's source does not contain as such."""
        if marked.count(MARK) == len(self._spelling.findall(marked)):
            return frozenset()
        return frozenset(self._unmarked.findall(marked))

    def encode(self, marked: str, *, trusted: Collection[str] = ()) -> tuple[int, ...]:
        """Return the ids of a rendering.

        Args:
            marked: text rendered from a marked source.
            trusted: spellings that are control tokens even without a mark.
        """
        forged = self.unmarked(marked).difference(trusted)
        if not forged:
            return self._encode(restored(marked))
        ids: list[int] = []
        ordinary = ""
        # Splitting at a group gives text, spelling, text, spelling, ..., text.
        pieces = self._unmarked.split(marked)
        for text, spelling in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
            ordinary += text
            if spelling in forged:
                ids += self._encode(restored(ordinary)) + self._as_text[spelling]
                ordinary = ""
            else:
                ordinary += spelling
        return (*ids, *self._encode(restored(ordinary)))

    def _encode(self, text: str) -> tuple[int, ...]:
        backend = self._backend
        if not text:
            return ()
        # What the tokenizer itself asks, without the rest of its answer, which takes as long again.
        if backend is not None and backend.truncation is None and backend.padding is None:
            return tuple(backend.encode(text, add_special_tokens=False).ids)
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))
