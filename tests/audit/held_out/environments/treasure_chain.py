"""A treasure hunt: each note names the next place."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

PLACES = ("well", "oak", "mill", "bridge", "tower", "barn", "cave", "quay", "gate", "pond")
PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}


class TreasureChain(Environment):
    """Follow six notes to the treasure."""

    instructions = (
        "Call read_note at the place you are told, then at the place each note names, until a note says: dig here. "
        "Answer with that place alone."
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one hunt per task."""
        return [self.hunt(split, number) for number in range(*PARTS[split])]

    def hunt(self, split, number):
        """Draw a way through six or seven places."""
        chance = random.Random(f"hunt {number}")
        way = chance.sample(PLACES, chance.randint(6, 7))
        return Task(
            id=f"hunt-{number}", prompt=f"Hunt {number + 1}: begin at the {way[0]}.", data={"way": way}, split=split
        )

    @tool
    def read_note(self, place: str) -> dict[str, str]:
        """Return what the note at a place says.

        Args:
            place: Name of the place.
        """
        way = self.task.data["way"]
        if place not in way:
            raise ToolError(f"no note at the {place}")
        step = way.index(place)
        return {"says": "dig here" if step == len(way) - 1 else f"go to {way[step + 1]}"}

    def reward(self, episode):
        """Return 1 for the place of the treasure."""
        return float(episode.answer.strip() == episode.task.data["way"][-1])

    def oracle(self, task):
        """Follow the notes."""
        place = task.prompt.split()[-1].rstrip(".")
        while True:
            (note,) = yield call("read_note", place=place)
            says = json.loads(note.content).get("says", "dig here")
            if says == "dig here":
                break
            place = says.removeprefix("go to ")
        yield say(place)
