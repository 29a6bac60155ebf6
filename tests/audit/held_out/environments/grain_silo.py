"""Deliveries to a grain silo."""

import json
import random
from typing import Literal

from turnwright import Environment, Task, ToolError, call, say, tool

PARTS = {"train": (0, 20), "validation": (20, 28), "test": (28, 40)}
FACTORS = {"kg": 1, "tonne": 1000}


class GrainSilo(Environment):
    """Tell how much a lorry brought."""

    instructions = (
        "Call weigh for the lorry before and after, in kilograms. Answer with the difference in kilograms: kg: 5200"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one lorry per task."""
        return [self.lorry(split, number) for number in range(*PARTS[split])]

    def lorry(self, split, number):
        """Draw a lorry."""
        chance = random.Random(f"lorry {number}")
        empty = 1000 * chance.randint(9, 15)
        grain = 1000 * chance.randint(3, 24)
        data = {"lorry": f"LK {number + 310}", "before": empty + grain, "after": empty, "grain": grain}
        return Task(id=f"lorry-{number}", prompt=f"Lorry {data['lorry']}", data=data, split=split)

    @tool
    def weigh(self, lorry: str, when: Literal["before", "after"], unit: Literal["kg", "tonne", "pound"]) -> dict:
        """Return the weight of a lorry.

        Args:
            lorry: The number plate.
            when: Before or after it was unloaded.
            unit: Unit of the answer.
        """
        if lorry != self.task.data["lorry"]:
            raise ToolError(f"no lorry {lorry} was weighed")
        if unit not in FACTORS:
            raise ToolError(f"unit {unit!r} is not supported")
        return {"weight": self.task.data[when] // FACTORS[unit], "unit": unit}

    def reward(self, episode):
        """Return 1 for the right difference."""
        return float(episode.answer.strip() == f"kg: {episode.task.data['grain']}")

    def oracle(self, task):
        """Weigh twice."""
        lorry = task.prompt.removeprefix("Lorry ")
        (before,) = yield call("weigh", lorry=lorry, when="before", unit="kg")
        (after,) = yield call("weigh", lorry=lorry, when="after", unit="kg")
        yield say(f"kg: {json.loads(before.content)['weight'] - json.loads(after.content)['weight']}")
