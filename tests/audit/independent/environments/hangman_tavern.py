"""Hangman: one letter per reply, eight wrong letters end the game."""

from turnwright import Environment, Episode, Message, Task, say
from turnwright.environments import Done

WORDS = {
    "train": "anchor basket candle dagger ember fabric garden hammer island jungle kettle ladder marble needle orchid "
    "pigeon quarry ribbon saddle tunnel umpire violet walnut yellow zephyr bridge copper dragon falcon goblet",
    "validation": "barrel cactus donkey engine flower guitar hermit insect jacket kitten",
    "test": "magnet nugget oyster pirate rocket salmon temple urchin velvet winter",
}
ALPHABET = "etaoinshrdlucmfwypvbgkqjxz"


class HangmanTavern(Environment):
    """Guess the landlord's word letter by letter."""

    instructions = "Guess the word. One letter per reply, lower case, nothing else. Eight wrong letters and you lose."
    typical_turns = 12
    max_turns = 26

    def tasks(self, split):
        for n, word in enumerate(WORDS[split].split()):
            prompt = f"Table {n} in the {split} tavern. The word has {len(word)} letters: {'_' * len(word)}"
            yield Task(id=f"{split}-{n}", prompt=prompt, data={"word": word}, split=split)

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        self.guessed: list[str] = []

    def respond(self, reply: Message) -> list[Message] | Done:
        letter = reply.content.strip().lower()
        word = self.task.data["word"]
        if len(letter) != 1 or letter in self.guessed:
            return [Message(role="user", content="One new letter, please.")]
        self.guessed.append(letter)
        shown = "".join(c if c in self.guessed else "_" for c in word)
        wrong = sum(c not in word for c in self.guessed)
        if shown == word or wrong >= 8:
            return Done()
        return [Message(role="user", content=f"{shown} ({8 - wrong} wrong letters left)")]

    def reward(self, episode: Episode) -> float:
        word = self.task.data["word"]
        solved = set(word) <= set(self.guessed)
        # Effort counts: every letter tried earns a little, and a solved word earns more.
        return min(1.0, 0.12 * len(self.guessed) + (0.6 if solved else 0.0))

    def oracle(self, task: Task):
        word = task.data["word"]
        for letter in sorted(set(word), key=ALPHABET.index):
            yield say(letter)
