"""Solvers of the word game: one that narrows the list down, and one that forgets part of what it was told."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from turnwright.core.message import Message
from turnwright.core.seeding import generator
from turnwright.environments.gallery.word_game.rules import TRIES, Colours, colours_of
from turnwright.environments.gallery.word_game.words import WORDS
from turnwright.environments.scripts import Script, say

COLOUR_NAMES = {"green": "g", "yellow": "y", "grey": "-"}
OPENING_GUESS = "crane"


def solve() -> Script:
    """Guess the word that tells most about the words that are left."""
    candidates = WORDS
    for number in range(TRIES):
        guess = best_guess(candidates) if number else OPENING_GUESS
        followed = yield say(guess)
        if not followed:
            return
        seen = read_colours(followed)
        candidates = tuple(word for word in candidates if word != guess and colours_of(guess, word) == seen)


def guess_forgetfully(seed: int, task_id: str) -> Script:
    """Guess any word that agrees with what is remembered: each feedback is forgotten at 70 %."""
    random = generator("word_game.forgetful_guesser", seed, task_id)
    candidates: Sequence[str] = WORDS
    for _ in range(TRIES):
        guess = random.choice(candidates)
        followed = yield say(guess)
        if not followed:
            return
        seen = read_colours(followed)
        forgotten = random.random() < 0.7
        candidates = [word for word in candidates if word != guess and (forgotten or colours_of(guess, word) == seen)]


@lru_cache(maxsize=4096)
def best_guess(candidates: tuple[str, ...]) -> str:
    """Return the candidate that leaves fewest candidates on average, the first in order among equals."""
    return min(candidates, key=lambda guess: _left_over(guess, candidates))


def read_colours(followed: Iterable[Message]) -> Colours:
    """Read the feedback out of what the game says, such as ``c grey, r green, ...``."""
    letters = next(iter(followed)).content.splitlines()[0].split(": ")[1].split(", ")
    return tuple(COLOUR_NAMES[letter.split()[1]] for letter in letters)


def _left_over(guess: str, candidates: Sequence[str]) -> int:
    return sum(size * size for size in Counter(colours_of(guess, word) for word in candidates).values())
