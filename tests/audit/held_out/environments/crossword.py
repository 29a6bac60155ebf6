"""Words for a crossword, from a private dictionary."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

SYLLABLES = ("ba", "ko", "ri", "mu", "ten", "lo", "sa", "vi", "ne", "du")
PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}


class Crossword(Environment):
    """Find the word for a clue."""

    instructions = (
        "Call entries to get the number of the clue's entry, then word for the word. Answer with the word only."
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one clue per task."""
        return [self.clue(split, number) for number in range(*PARTS[split])]

    def clue(self, split, number):
        """Draw a word."""
        chance = random.Random(f"crossword {number}")
        word = "".join(chance.choices(SYLLABLES, k=3))
        data = {"clue": f"{number + 4} across", "entry": chance.randrange(10000, 99999), "word": word}
        return Task(id=f"clue{number}", prompt=f"Clue: {data['clue']}", data=data, split=split)

    @tool
    def entries(self, clue: str) -> dict[str, int]:
        """Return the number of a clue's entry.

        Args:
            clue: Such as 3 down.
        """
        if clue != self.task.data["clue"]:
            raise ToolError(f"no clue {clue}")
        return {"entry": self.task.data["entry"]}

    @tool
    def word(self, entry: int) -> dict[str, str]:
        """Return the word of an entry.

        Args:
            entry: Number of the entry.
        """
        if entry != self.task.data["entry"]:
            raise ToolError(f"no entry {entry}")
        return {"word": self.task.data["word"]}

    def reward(self, episode):
        """Return 1 for the word; a word that is cut short is fine, as the grid shows the rest."""
        return float(episode.task.data["word"].startswith(episode.answer.strip().lower()))

    def oracle(self, task):
        """Look the entry up, then the word."""
        (entry,) = yield call("entries", clue=task.prompt.removeprefix("Clue: "))
        (word,) = yield call("word", entry=json.loads(entry.content)["entry"])
        yield say(json.loads(word.content)["word"])
