"""Shortens a text to a number of tokens: its head and its tail stay, and a line in the middle says what is missing."""

from collections.abc import Callable

MOST_CHARACTERS = 16
"""Characters of a token that are reckoned with at most: a text is not encoded whole again at each try."""


def shorten(text: str, num_tokens: int, count: Callable[[str], int]) -> str:
    """Return the text where it has no more than ``num_tokens``, otherwise its two ends with a line between them.

    Characters are kept as they are, half of them of each end, as many as fit.

    Args:
        text: Any text.
        num_tokens: Most tokens of the result. The line alone is returned where not even that fits.
        count: Tokens of a text.

    Example: ``shorten("a" * 100, 44, len)`` is 5 letters, a line that says that 90 are missing, and 5 letters.
    """
    if count(text) <= num_tokens:
        return text
    # The most characters that fit, by halving: what is longer by a character is longer in tokens, or as long.
    fits, too_many = 0, min(len(text), MOST_CHARACTERS * num_tokens)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if count(_ends(text, middle)) <= num_tokens:
            fits = middle
        else:
            too_many = middle
    return _ends(text, fits)


def missing(number: int) -> str:
    """Return the line that stands for characters that are missing."""
    return f"\n[... {number} characters left out ...]\n"


def _ends(text: str, kept: int) -> str:
    head, tail = kept - kept // 2, kept // 2
    return text[:head] + missing(len(text) - kept) + text[len(text) - tail :]
