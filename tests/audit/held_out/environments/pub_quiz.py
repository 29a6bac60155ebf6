"""Multiple choice about an invented atlas."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

RIVERS = ("Ossa", "Velm", "Tarn", "Ibbe", "Kurl", "Modra", "Sieve", "Lunt")
TOWNS = [
    first + last
    for first in ("Bran", "Dol", "Fen", "Gar", "Hul", "Mer", "Nor", "Pel")
    for last in ("by", "ham", "stad", "wick", "mouth")
]


class AtlasQuiz(Environment):
    """Answer one question of four options with the help of the atlas."""

    instructions = "Look the town up in the atlas. Then answer with the letter of the right option alone: A, B, C or D."
    typical_turns = 2

    def __init__(self):
        """Draw the map."""
        self.map = {town: random.Random(town).choice(RIVERS) for town in TOWNS}

    def tasks(self, split):
        """Return one question per town."""
        towns = {"train": TOWNS[0::2], "validation": TOWNS[1::4], "test": TOWNS[3::4]}[split]
        return [self.question(split, town) for town in towns]

    def question(self, split, town):
        """Make one question: the river and three others."""
        others = [river for river in RIVERS if river != self.map[town]]
        options = [self.map[town], *random.Random(f"{town}?").sample(others, 3)]
        lines = [f"{letter}) {river}" for letter, river in zip("ABCD", options, strict=True)]
        prompt = "\n".join([f"Which river runs through {town}?", *lines])
        letter = "ABCD"[options.index(self.map[town])]
        return Task(id=town.lower(), prompt=prompt, data={"letter": letter}, split=split)

    @tool
    def atlas(self, town: str) -> dict[str, str]:
        """Return the river of a town.

        Args:
            town: Name of the town.
        """
        if town not in self.map:
            raise ToolError(f"the atlas has no {town}")
        return {"river": self.map[town]}

    def reward(self, episode):
        """Return 1 for the right letter."""
        return float(episode.answer.strip() == episode.task.data["letter"])

    def oracle(self, task):
        """Look up, find the option."""
        question, *options = task.prompt.splitlines()
        (found,) = yield call("atlas", town=question.removesuffix("?").split()[-1])
        river = json.loads(found.content)["river"]
        yield say(next(option[0] for option in options if option.endswith(f") {river}")))
