"""Number hunt: guess a number between 1 and 200 with the aid of 'higher' and 'lower'."""

import re

from turnwright import Environment, Episode, Message, Script, Task, say
from turnwright.core.seeding import generator
from turnwright.environments import Done

TRIES = 9


class NumberHunt(Environment):
    """Find the hidden number; fewer guesses earn more."""

    instructions = (
        f"I think of a whole number between 1 and 200. Each of your replies is one guess, a bare number. I answer "
        f"higher or lower. You have {TRIES} guesses."
    )
    typical_turns = 8
    max_turns = 12

    def tasks(self, split):
        start = {"train": 0, "validation": 1000, "test": 2000}[split]
        for index in range(start, start + (40 if split == "train" else 12)):
            hidden = generator("number hunt", index).randint(1, 200)
            yield Task(id=f"hunt-{index}", prompt=f"Round {index}. Your guess?", data={"hidden": hidden}, split=split)

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        self._guesses: list[int] = []

    def respond(self, reply: Message) -> list[Message] | Done:
        if not re.fullmatch(r"\d{1,3}", reply.content.strip()):
            return [Message(role="user", content="A bare number between 1 and 200, please.")]
        guess, hidden = int(reply.content), self.task.data["hidden"]
        self._guesses.append(guess)
        if guess == hidden or len(self._guesses) == TRIES:
            return Done()
        return [Message(role="user", content="higher" if guess < hidden else "lower")]

    def reward(self, episode: Episode) -> float:
        if not self._guesses or self._guesses[-1] != episode.task.data["hidden"]:
            return 0.0
        return 1.0 if len(self._guesses) <= 8 else 0.9

    def oracle(self, task: Task) -> Script:
        low, high = 1, 200
        while low <= high:
            guess = (low + high) // 2
            followed = yield say(str(guess))
            if not followed:
                return
            if followed[0].content == "higher":
                low = guess + 1
            else:
                high = guess - 1
