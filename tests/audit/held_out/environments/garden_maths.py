"""Arithmetic of a garden: beds, paths and seed."""

import random
import re

from turnwright import Task, call, say
from turnwright.environments.verifiable.numbers import Calculates, NumberQuestions

PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
PROMPT = (
    "A bed is {length} m long and {width} m wide. A path of {path} m runs all around it, outside of the bed. How many "
    "square metres does the path take?"
)


class GardenMaths(Calculates, NumberQuestions):
    """State the area of a path around a bed."""

    typical_turns = 2

    def tasks(self, split):
        """Return one bed per task."""
        return [self.bed(split, number) for number in range(*PARTS[split])]

    def bed(self, split, number):
        """Draw a bed."""
        chance = random.Random(f"bed {number}")
        length, width, path = number + 31, chance.randint(5, 30), chance.randint(1, 4)
        area = (length + 2 * path) * (width + 2 * path) - length * width
        prompt = PROMPT.format(length=length, width=width, path=path)
        return Task(id=f"bed-{number}", prompt=prompt, data={"answer": str(area)}, split=split)

    def oracle(self, task):
        """Take the bed from the whole."""
        length, width, path = re.findall(r"\d+", task.prompt)
        (area,) = yield call(
            "calculate", expression=f"({length} + 2 * {path}) * ({width} + 2 * {path}) - {length} * {width}"
        )
        yield say(f"\\boxed{{{area.content}}}")
