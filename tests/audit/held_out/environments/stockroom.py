"""A stockroom: take things out, tell what is left."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

SHELVES = [f"{row}{place}" for row in "ABCDEFGH" for place in range(1, 6)]
PARTS = {"train": SHELVES[0:20], "validation": SHELVES[20:30], "test": SHELVES[30:40]}


class Stockroom(Environment):
    """Take parts from a shelf and report what is left on it."""

    instructions = (
        "The order says a shelf and how many boxes to take. Call count, then take, then answer with what is left on "
        "the shelf: left: 12"
    )
    typical_turns = 3
    stock = {shelf: random.Random(f"shelf {shelf}").randint(60, 99) for shelf in SHELVES}  # noqa: RUF012

    def tasks(self, split):
        """Return one order per shelf."""
        return [self.order(split, shelf) for shelf in PARTS[split]]

    def order(self, split, shelf):
        """Draw an order."""
        boxes = random.Random(f"order {shelf}").randint(2, 9)
        left = random.Random(f"shelf {shelf}").randint(60, 99) - boxes
        data = {"shelf": shelf, "boxes": boxes, "left": left}
        return Task(id=shelf, prompt=f"shelf {shelf}: take {boxes}", data=data, split=split)

    @tool
    def count(self, shelf: str) -> int:
        """Return how many boxes are on a shelf.

        Args:
            shelf: Letter and number, such as C3.
        """
        if shelf not in self.stock:
            raise ToolError(f"no shelf {shelf}")
        return self.stock[shelf]

    @tool
    def take(self, shelf: str, boxes: int) -> dict[str, int]:
        """Take boxes from a shelf, and return what is left.

        Args:
            shelf: Letter and number, such as C3.
            boxes: How many boxes, at least one.
        """
        if not 0 < boxes <= self.count(shelf):
            raise ToolError(f"{boxes} boxes cannot be taken from {shelf}")
        self.stock[shelf] -= boxes
        return {"left": self.stock[shelf]}

    def reward(self, episode):
        """Return 1 for the right report, and when the shelf holds what it should."""
        data = episode.task.data
        return float(self.stock[data["shelf"]] == data["left"] and episode.answer.strip() == f"left: {data['left']}")

    def oracle(self, task):
        """Count, take, report."""
        shelf, boxes = task.prompt.removeprefix("shelf ").split(": take ")
        yield call("count", shelf=shelf)
        (taken,) = yield call("take", shelf=shelf, boxes=int(boxes))
        yield say(f"left: {json.loads(taken.content)['left']}")
