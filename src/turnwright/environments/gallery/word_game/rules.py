"""The game's rules: what a reply is, what the feedback says, and what a game is worth.

Feedback is a colour per letter: green where the letter stands, yellow where the word has it elsewhere, grey otherwise.
A letter that a guess has more often than the word is yellow only as often as the word has it, greens first.
"""

import re
from collections import Counter
from collections.abc import Sequence

from turnwright.environments.answers import REASONING_END

LENGTH = 5
TRIES = 6
GUESS = re.compile(rf"[a-z]{{{LENGTH}}}")
SOLVED_SLOWLY, SOLVED_AT_ONCE, LOST, NEVER_PLAYED = 1.05, 1.55, -0.5, -1.5
"""Worth of a word found with the last and with the first guess, of one not found, and of a game without a guess."""
CARE_WHEN_SOLVED, CARE_WHEN_LOST = 0.04, 0.15
"""What the care of play, from -1 to 1, adds or takes: too little to change the order of the outcomes."""

Colours = tuple[str, ...]
"""One of g (green), y (yellow) and - (grey) per letter."""


def read_guess(text: str) -> str | None:
    """Return the guess that a reply is, in lower case; None when it is not one word of five letters."""
    word = REASONING_END.split(text)[-1].strip().strip(".!\"'`*").lower()
    return word if GUESS.fullmatch(word) else None


def colours_of(guess: str, word: str) -> Colours:
    """Return the feedback on a guess.

    >>> "".join(colours_of("allee", "eagle"))
    'yy-yg'
    """
    left = Counter(letter for letter, right in zip(word, guess, strict=True) if letter != right)
    colours: list[str] = []
    for letter, right in zip(guess, word, strict=True):
        if letter == right:
            colours.append("g")
        elif left[letter]:
            left[letter] -= 1
            colours.append("y")
        else:
            colours.append("-")
    return tuple(colours)


def fits(candidate: str, guesses: Sequence[str], word: str) -> bool:
    """Return whether a word agrees with all feedback that the guesses got."""
    return all(colours_of(guess, candidate) == colours_of(guess, word) for guess in guesses)


def care(guesses: Sequence[str], num_refused: int, word: str) -> float:
    """Return how carefully was played, from -1 to 1: 1 when every reply was a guess that all earlier feedback allows.

    Args:
        guesses: The guesses, in order.
        num_refused: Replies that were no guess, or repeated one.
        word: The hidden word.
    """
    fitting = sum(fits(guess, guesses[:index], word) for index, guess in enumerate(guesses))
    replies = len(guesses) + num_refused
    return 2 * fitting / replies - 1 if replies else -1.0


def outcome(guesses: Sequence[str], word: str) -> float:
    """Return what a game is worth without regard to care: more for a word found sooner."""
    if not guesses:
        return NEVER_PLAYED
    if guesses[-1] != word:
        return LOST
    spared = (TRIES - len(guesses)) / (TRIES - 1)
    return SOLVED_SLOWLY + (SOLVED_AT_ONCE - SOLVED_SLOWLY) * spared


def worth(guesses: Sequence[str], num_refused: int, word: str) -> dict[str, float]:
    """Return the reward of a game: ``outcome + weight * care``, both parts by name."""
    played, solved = care(guesses, num_refused, word), bool(guesses) and guesses[-1] == word
    shaping = (CARE_WHEN_SOLVED if solved else CARE_WHEN_LOST) * played
    return {"outcome": outcome(guesses, word), "care": shaping}
