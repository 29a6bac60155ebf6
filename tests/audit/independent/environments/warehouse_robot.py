"""A robot in a warehouse fetches a box: explore, pick it up, bring it to the dock."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

MOVES = {"north": (0, -1), "south": (0, 1), "west": (-1, 0), "east": (1, 0)}
SIZE = 4


class WarehouseRobot(Environment):
    """Fetch the box and bring it to the dock; detours cost a little."""

    instructions = (
        f"You steer a robot on a floor of {SIZE} by {SIZE} cells; it starts at (0, 0), x grows to the east, y to the "
        "south. scan tells where box and dock are, move takes one step, lift and drop handle the box. Bring the box to "
        "the dock, then say done."
    )
    typical_turns = 16

    def tasks(self, split):
        rng = random.Random(f"robot {split}")
        for n in range({"train": 32, "validation": 10, "test": 10}[split]):
            cells = [(x, y) for x in range(SIZE) for y in range(SIZE)][1:]
            box, dock = rng.sample(cells, 2)
            prompt = f"Hall {split[:1].upper()}{rng.randrange(100, 1000)}, order {n}"
            yield Task(id=f"{split}-{n}", prompt=prompt, data={"box": box, "dock": dock}, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        self.at, self.box, self.carrying, self.steps = (0, 0), tuple(task.data["box"]), False, 0

    @tool
    def scan(self) -> dict[str, list[int]]:
        """Return the positions of robot, box and dock."""
        return {"robot": list(self.at), "box": list(self.box), "dock": list(self.task.data["dock"])}

    @tool
    def move(self, direction: str) -> list[int]:
        """Take one step and return the new position.

        Args:
            direction: north, south, west or east.
        """
        if direction not in MOVES:
            raise ToolError("direction must be north, south, west or east")
        x, y = (a + b for a, b in zip(self.at, MOVES[direction], strict=True))
        if not (0 <= x < SIZE and 0 <= y < SIZE):
            raise ToolError("there is a wall")
        self.at, self.steps = (x, y), self.steps + 1
        self.box = self.at if self.carrying else self.box
        return [x, y]

    @tool
    def lift(self) -> str:
        """Lift the box, if the robot stands where it is."""
        if self.at != self.box:
            raise ToolError("there is no box here")
        self.carrying = True
        return "lifted"

    @tool
    def drop(self) -> str:
        """Put the box down."""
        if not self.carrying:
            raise ToolError("nothing to drop")
        self.carrying = False
        return "dropped"

    def reward(self, episode):
        box, dock = episode.task.data["box"], episode.task.data["dock"]
        if self.carrying or list(self.box) != list(dock):
            return 0.0
        shortest = sum(box) + sum(abs(a - b) for a, b in zip(box, dock, strict=True))
        return max(0.5, 1.0 - 0.05 * (self.steps - shortest))

    def oracle(self, task):
        (seen,) = yield call("scan")
        places = json.loads(seen.content)
        position = places["robot"]
        for goal, act in ((places["box"], "lift"), (places["dock"], "drop")):
            for axis, (less, more) in enumerate((("west", "east"), ("north", "south"))):
                distance = goal[axis] - position[axis]
                for _ in range(abs(distance)):
                    yield call("move", direction=more if distance > 0 else less)
            yield call(act)
            position = goal
        yield say("done")
