"""A wine merchant's cellar."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

SHARES = (("train", 0.5), ("validation", 0.25), ("test", 0.25))


class WineCellar(Environment):
    """Find the rack of a bottle."""

    instructions = "Call find_lot for the bottle's lot, then rack_of the lot. Answer with the rack's number alone."
    typical_turns = 3

    def __init__(self, seed: int = 11, size: int = 40):
        """Draw the cellar.

        Args:
            seed: What the cellar is drawn from.
            size: Number of bottles.
        """
        self.size = size
        chance = random.Random(seed)
        self.bottles = {f"W{number}": (chance.randrange(100, 999), chance.randint(1, 60)) for number in range(size)}

    def tasks(self, split):
        """Return the split's share of the cellar."""
        share = dict(SHARES)[split]
        names = sorted(self.bottles)
        random.Random(f"{split} {self.size}").shuffle(names)
        return [
            Task(
                id=f"{split}-{name}",
                prompt=f"bottle: {name}",
                data={"bottle": name, "lot": self.bottles[name][0], "rack": self.bottles[name][1]},
                split=split,
            )
            for name in names[: int(share * len(names))]
        ]

    @tool
    def find_lot(self, bottle: str) -> dict[str, int]:
        """Return the lot of a bottle.

        Args:
            bottle: Such as W1.
        """
        if bottle != self.task.data["bottle"]:
            raise ToolError(f"no bottle {bottle}")
        return {"lot": self.task.data["lot"]}

    @tool
    def rack_of(self, lot: int) -> dict[str, int]:
        """Return the rack of a lot.

        Args:
            lot: Number of the lot.
        """
        if lot != self.task.data["lot"]:
            raise ToolError(f"no lot {lot}")
        return {"rack": self.task.data["rack"]}

    def reward(self, episode):
        """Return 1 for the right rack."""
        return float(episode.answer.strip() == str(episode.task.data["rack"]))

    def oracle(self, task):
        """Bottle, lot, rack."""
        (lot,) = yield call("find_lot", bottle=task.prompt.removeprefix("bottle: "))
        (rack,) = yield call("rack_of", lot=json.loads(lot.content)["lot"])
        yield say(str(json.loads(rack.content)["rack"]))
