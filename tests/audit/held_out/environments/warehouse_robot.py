"""A robot in a warehouse of 5 by 5 fields."""

import json
import random
from typing import Literal

from turnwright import Environment, Task, ToolError, call, say, tool

PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
MOVES = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}


class WarehouseRobot(Environment):
    """Drive to a box and pick it up."""

    instructions = (
        "Call locate for the places of robot and box (x grows to the east, y to the north; 0 to 4). Drive by move, one "
        "field at a time, then call pick at the box. Say done in the end."
    )
    typical_turns = 10

    def tasks(self, split):
        """Return one box per task."""
        return [self.job(split, number) for number in range(*PARTS[split])]

    def job(self, split, number):
        """Draw two fields that are not the same."""
        chance = random.Random(f"robot {number}")
        robot, box = chance.sample([[x, y] for x in range(5) for y in range(5)], 2)
        data = {"name": f"box {number + 70}", "robot": robot, "box": box}
        return Task(id=f"job{number}", prompt=f"Fetch box {number + 70}.", data=data, split=split)

    def open(self, task, seed):
        """Put the robot on its field."""
        super().open(task, seed)
        self.place = list(task.data["robot"])
        self.picked = False

    @tool
    def locate(self) -> dict[str, list[int]]:
        """Return where robot and box are, as [x, y]."""
        return {"robot": self.place, "box": self.task.data["box"]}

    @tool
    def move(self, direction: Literal["north", "south", "east", "west"]) -> dict[str, list[int]]:
        """Move by one field.

        Args:
            direction: Where to.
        """
        x, y = (place + step for place, step in zip(self.place, MOVES[direction], strict=True))
        if not (0 <= x <= 4 and 0 <= y <= 4):
            raise ToolError(f"there is a wall to the {direction}")
        self.place = [x, y]
        return {"robot": self.place}

    @tool
    def pick(self) -> str:
        """Pick up the box on the robot's field."""
        if self.place != self.task.data["box"]:
            raise ToolError("no box on this field")
        self.picked = True
        return "picked"

    def reward(self, episode):
        """Return 1 when the robot has the box."""
        return float(self.picked)

    def oracle(self, task):
        """Drive east or west, then north or south."""
        (found,) = yield call("locate")
        places = json.loads(found.content)
        east, north = (box - robot for box, robot in zip(places["box"], places["robot"], strict=True))
        for _ in range(abs(east)):
            yield call("move", direction="east" if east > 0 else "west")
        for _ in range(abs(north)):
            yield call("move", direction="north" if north > 0 else "south")
        yield call("pick")
        yield say("done")
