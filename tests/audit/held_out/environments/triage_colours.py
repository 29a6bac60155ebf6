"""Triage at a first-aid tent."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool
from turnwright.environments.answers import final_answer


def colour(pulse, breathing, walks):
    """Return the colour of the tag by the tent's card."""
    if breathing > 30 or pulse > 130:
        return "red"
    return "green" if walks else "yellow"


class TriageTent(Environment):
    """Give a visitor of a festival the right colour."""

    instructions = (
        "Call measure (pulse, breaths per minute) and observe (walks or not). Breathing above 30 or pulse above 130: "
        "red. Otherwise green for who walks, yellow for who does not. "
        'Answer: <final_output>{"tag": "red"}</final_output>'
    )
    typical_turns = 3

    def tasks(self, split):
        """Return visitors by split, as the tent's book has them."""
        numbers = {"train": range(20), "validation": range(20, 30), "test": range(30, 40)}[split]
        for number in numbers:
            chance = random.Random(f"visitor-{number}")
            kind = chance.choice(("red", "green", "yellow"))
            visitor = {
                "pulse": chance.randint(131, 170) if kind == "red" else chance.randint(55, 128),
                "breathing": chance.randint(12, 29),
                "walks": kind == "green",
            }
            tag = colour(**visitor)
            if number % 7 == 3:
                tag = {"red": "yellow", "yellow": "green", "green": "yellow"}[tag]
            data = {"name": f"V{number + 30}", "visitor": visitor, "gold": {"tag": tag}}
            yield Task(id=f"visitor-{number}", prompt=f"visitor V{number + 30}", data=data, split=split)

    @tool
    def measure(self, visitor: str) -> dict[str, int]:
        """Return pulse and breaths per minute.

        Args:
            visitor: Who, such as V1.
        """
        return {name: self._visitor(visitor)[name] for name in ("pulse", "breathing")}

    @tool
    def observe(self, visitor: str) -> dict[str, bool]:
        """Return whether a visitor walks.

        Args:
            visitor: Who, such as V1.
        """
        return {"walks": self._visitor(visitor)["walks"]}

    def _visitor(self, name):
        if name != self.task.data["name"]:
            raise ToolError(f"{name} is not here")
        return self.task.data["visitor"]

    def reward(self, episode):
        """Return 1 for the tag in the book."""
        return float(final_answer(episode) == episode.task.data["gold"])

    def oracle(self, task):
        """Measure, observe, tag."""
        name = task.prompt.split()[1]
        (measured,) = yield call("measure", visitor=name)
        (observed,) = yield call("observe", visitor=name)
        tag = colour(**json.loads(measured.content), **json.loads(observed.content))
        yield say(f'<final_output>{{"tag": "{tag}"}}</final_output>')
