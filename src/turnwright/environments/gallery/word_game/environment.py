"""WordGame: one reply is one guess; the world answers with colours until the word is found or the guesses are used."""

from collections.abc import Iterator

from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.message import Message
from turnwright.core.seeding import derive_key, generator
from turnwright.core.task import Split, Task
from turnwright.environments.base import Done, Environment
from turnwright.environments.gallery.sizes import split_sizes
from turnwright.environments.gallery.word_game.rules import (
    CARE_WHEN_LOST,
    CARE_WHEN_SOLVED,
    LENGTH,
    NEVER_PLAYED,
    SOLVED_AT_ONCE,
    TRIES,
    colours_of,
    read_guess,
    worth,
)
from turnwright.environments.gallery.word_game.solver import guess_forgetfully, solve
from turnwright.environments.gallery.word_game.words import WORDS
from turnwright.environments.scripts import Script

NAMES = {"g": "green", "y": "yellow", "-": "grey"}

INSTRUCTIONS = f"""\
Find a hidden everyday English word of {LENGTH} letters. You have {TRIES} guesses.

Reply with one word of {LENGTH} letters and nothing else. You are told the colour of each of its letters:
green: the hidden word has this letter in this place;
yellow: it has this letter, but in another place;
grey: it has this letter nowhere, or no more often than the green and yellow ones say.

A reply that is not one new word of {LENGTH} letters is refused. It costs no guess, but your replies are limited, too.
The sooner you find the word, the better; guess only words that all you were told still allows."""


class WordGame(Environment):
    """Find a hidden word of five letters in six guesses."""

    instructions = INSTRUCTIONS
    typical_turns = 5
    reward_range = (NEVER_PLAYED - CARE_WHEN_LOST, SOLVED_AT_ONCE + CARE_WHEN_SOLVED)

    def __init__(
        self, *, train_tasks: int = 280, validation_tasks: int = 40, test_tasks: int = 80, seed: int = 0
    ) -> None:
        """Deal the words to the splits.

        Args:
            train_tasks: Words in this split; the same for the other two. No word is in two splits.
            validation_tasks: Words on which training is watched.
            test_tasks: Words kept for evaluation.
            seed: Seed by which the words are dealt.
        """
        sizes = split_sizes("word_game", train=train_tasks, validation=validation_tasks, test=test_tasks)
        if sum(sizes.values()) > len(WORDS):
            raise ConfigError(
                f"word_game: {sum(sizes.values())} tasks in all, but there are {len(WORDS)} words: ask for fewer"
            )
        dealt = iter(generator("word_game", seed).sample(WORDS, len(WORDS)))
        self._words = {split: [next(dealt) for _ in range(size)] for split, size in sizes.items()}
        self._seed = seed

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield the tasks of a split."""
        for index, word in enumerate(self._words[split]):
            # A number that says nothing about word, split or order.
            number = derive_key("word_game", self._seed, split, index) % 10**8
            yield Task(
                id=f"word-{self._seed}-{split}-{index}",
                prompt=f"Game {number}. Your first guess?",
                data={"word": word},
                split=split,
                cluster=word,
            )

    def open(self, task: Task, seed: int) -> None:
        """Begin a game."""
        super().open(task, seed)
        self._guesses: list[str] = []
        self._num_refused = 0

    def respond(self, reply: Message) -> list[Message] | Done:
        """Answer a guess with its colours, and anything else with what is wrong about it."""
        guess = read_guess(reply.content)
        if guess is None or guess in self._guesses:
            self._num_refused += 1
            problem = f"You had {guess} before" if guess else f"That is not one word of {LENGTH} letters"
            return [Message(role="user", content=f"{problem}. {self._left()}")]
        self._guesses.append(guess)
        word = self.task.data["word"]
        if guess == word or len(self._guesses) == TRIES:
            return Done()
        told = zip(guess, colours_of(guess, word), strict=True)
        colours = ", ".join(f"{letter} {NAMES[colour]}" for letter, colour in told)
        return [Message(role="user", content=f"{guess}: {colours}\n{self._left()}")]

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return ``outcome + weight * care``.

        A found word is worth 1.05 to 1.55, the sooner the more; one that is not found -0.5; a game without a guess
        -1.5. The care of play changes that by at most 0.04 when the word is found and 0.15 when not, so that every
        found word is worth more than 1 and no order of two outcomes is reversed.
        """
        return worth(self._guesses, self._num_refused, episode.task.data["word"])

    def oracle(self, task: Task) -> Script:
        """Narrow the list of words down."""
        return solve()

    def forgetful_guesser(self, task: Task, seed: int) -> Script:
        """Guess words of the list, and forget each feedback at 70 %."""
        return guess_forgetfully(seed, task.id)

    def _left(self) -> str:
        left = TRIES - len(self._guesses)
        return f"{left} {'guess' if left == 1 else 'guesses'} left."
