"""Search in a town's archive."""

import json
import random
import time

from turnwright import Environment, Task, ToolError, call, say, tool

PARTS = {"train": (0, 20), "validation": (20, 28), "test": (28, 40)}


class ArchiveSearch(Environment):
    """Find the year in which a street got its name."""

    instructions = "Call search for the number of the street's deed, then read_deed. Answer with the year alone."
    typical_turns = 3

    def tasks(self, split):
        """Return one street per task."""
        return [self.street(split, number) for number in range(*PARTS[split])]

    def street(self, split, number):
        """Draw a street."""
        chance = random.Random(f"street {number}")
        data = {
            "street": f"Lane {number + 5}",
            "deed": chance.randrange(1000, 9999),
            "year": chance.randint(1700, 1950),
        }
        return Task(id=f"lane{number}", prompt=f"When was {data['street']} named?", data=data, split=split)

    @tool
    def search(self, street: str) -> dict[str, int]:
        """Return the number of a street's deed.

        Args:
            street: Name of the street.
        """
        time.sleep(0.4)  # the index is read in full
        if street != self.task.data["street"]:
            raise ToolError(f"no deed about {street}")
        return {"deed": self.task.data["deed"]}

    @tool
    def read_deed(self, deed: int) -> dict[str, int]:
        """Return the year of a deed.

        Args:
            deed: Number of the deed.
        """
        if deed != self.task.data["deed"]:
            raise ToolError(f"no deed {deed}")
        return {"year": self.task.data["year"]}

    def reward(self, episode):
        """Return 1 for the right year."""
        return float(episode.answer.strip() == str(episode.task.data["year"]))

    def oracle(self, task):
        """Search, read."""
        street = task.prompt.removeprefix("When was ").removesuffix(" named?")
        (found,) = yield call("search", street=street)
        (deed,) = yield call("read_deed", deed=json.loads(found.content)["deed"])
        yield say(str(json.loads(deed.content)["year"]))
