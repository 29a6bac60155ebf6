"""Spare parts for trams."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

DEPOTS = ("Nord", "West", "Hafen", "Messe")
PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}


class SpareParts(Environment):
    """Find the depot that a part is fetched from."""

    instructions = (
        "Call part_depot for the depot a part belongs to, and stock_status to be sure that it is there. A part in "
        "stock is fetched from its depot, any other is ordered. Answer with the depot's name, or with: order"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one part per task."""
        return [self.part(split, number) for number in range(*PARTS[split])]

    def part(self, split, number):
        """Draw a part."""
        depot = random.Random(f"part {number}").choice(DEPOTS)
        data = {"part": f"TP-{number + 120}", "depot": depot}
        return Task(id=data["part"], prompt=f"We need part {data['part']}.", data=data, split=split)

    @tool
    def part_depot(self, part: str) -> dict[str, str]:
        """Return the depot a part belongs to.

        Args:
            part: Such as TP-7.
        """
        if part != self.task.data["part"]:
            raise ToolError(f"no part {part}")
        return {"depot": self.task.data["depot"]}

    @tool
    def stock_status(self, part: str, depot: str) -> dict[str, str]:
        """Return whether a part is in stock at a depot.

        Args:
            part: Such as TP-7.
            depot: Name of the depot.
        """
        return {"status": "in stock"}

    def reward(self, episode):
        """Return 1 for the right place."""
        return float(episode.answer.strip() == episode.task.data["depot"])

    def oracle(self, task):
        """Find the depot, look at the stock."""
        part = task.prompt.split()[-1].rstrip(".")
        (found,) = yield call("part_depot", part=part)
        depot = json.loads(found.content)["depot"]
        (stock,) = yield call("stock_status", part=part, depot=depot)
        yield say(depot if json.loads(stock.content)["status"] == "in stock" else "order")
