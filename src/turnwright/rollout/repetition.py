"""Repetition: sampled replies in, the worst of those out that say one thing over and over.

A policy that collapses gets stuck: a word, a sentence or a tool call follows itself until the token cap. Whatever such
an attempt was rewarded for, its gradient is that of one n-gram a hundred times, so it is left out of training.

A stretch of an n-gram holds it at least twice in full, back to back; what is cut at its end counts as far as it goes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from turnwright.config.algorithm import Algorithm
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed

SHOWN = 60
"""Characters of a repeated n-gram that a message shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionSettings:
    """Names and meaning as in the [algorithm] section."""

    max_repeated_tokens: int
    max_ngram_size: int = 30

    @classmethod
    def from_config(cls, algorithm: Algorithm) -> Self | None:
        """Read the section; None = nothing is looked for."""
        if algorithm.max_repeated_tokens is None:
            return None
        return cls(max_repeated_tokens=algorithm.max_repeated_tokens, max_ngram_size=algorithm.max_ngram_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Where one n-gram follows itself.

    Example: in 9 5 6 5 6 5 7 the pair 5 6 does: ``Stretch(start=1, length=5, size=2)``.
    """

    start: int
    """Its first token."""
    length: int
    """Its tokens, those of an n-gram that is cut at its end included."""
    size: int
    """Tokens of the n-gram."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """What an attempt repeats longest."""

    key: EpisodeKey
    turn: int
    length: int
    """Tokens of the stretch."""
    ngram: tuple[int, ...]
    """The ids that follow themselves."""


def find_stretch(token_ids: Sequence[int], settings: RepetitionSettings) -> Stretch | None:
    """Return the longest stretch of more than ``max_repeated_tokens`` tokens; None = there is none.

    Of stretches of one length it is the first with the shortest n-gram.

    For each size, only every n-th token is compared, n being how many equal ones a stretch needs in a row: one of
    those is in every stretch. A hit is followed to both ends, so a size costs at most about two looks per token.
    """
    longest: Stretch | None = None
    for size in range(1, min(settings.max_ngram_size, len(token_ids) // 2) + 1):
        needed = max(size, settings.max_repeated_tokens + 1 - size)
        position = size + needed - 1
        while position < len(token_ids):
            if token_ids[position] != token_ids[position - size]:
                position += needed
                continue
            first, end = position, position + 1
            while first > size and token_ids[first - 1] == token_ids[first - 1 - size]:
                first -= 1
            while end < len(token_ids) and token_ids[end] == token_ids[end - size]:
                end += 1
            length = end - first + size
            if end - first >= needed and (longest is None or length > longest.length):
                longest = Stretch(start=first - size, length=length, size=size)
            # The token at ``end`` breaks the stretch: the next one has its first equal token behind it.
            position = end + needed
    return longest


def find_repetitions(
    attempts: Sequence[Attempt], settings: RepetitionSettings | None
) -> Mapping[EpisodeKey, Repetition]:
    """Return the surviving attempts with a reply that repeats itself; none without settings.

    A reply that never reached its agent is not trained, so what it says does not matter.
    """
    if settings is None:
        return {}
    found = (_longest_of(attempt, settings) for attempt in attempts if not isinstance(attempt.episode.outcome, Failed))
    return {repetition.key: repetition for repetition in found if repetition is not None}


def describe_worst(repetitions: Collection[Repetition], decode: Callable[[Sequence[int]], str]) -> str:
    """Name the attempt with the longest stretch, the first of several.

    Example: ``episode 'train-3#1', turn 0, where 400 tokens repeat an n-gram of 2: ' no'``.
    """
    worst = max(repetitions, key=lambda repetition: repetition.length)
    text = decode(worst.ngram)
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    where = f"episode {str(worst.key)!r}, turn {worst.turn}"
    return f"{where}, where {worst.length} tokens repeat an n-gram of {len(worst.ngram)}: {shown!r}"


def _longest_of(attempt: Attempt, settings: RepetitionSettings) -> Repetition | None:
    longest: Repetition | None = None
    for turn in attempt.trajectory.turns:
        stretch = None if turn.abandoned else find_stretch(turn.sampled_token_ids, settings)
        if stretch is not None and (longest is None or stretch.length > longest.length):
            longest = Repetition(
                key=attempt.episode.key,
                turn=turn.index,
                length=stretch.length,
                ngram=turn.sampled_token_ids[stretch.start : stretch.start + stretch.size],
            )
    return longest
