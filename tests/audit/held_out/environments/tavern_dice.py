"""A tavern's dice game."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

SPLITS = {"train": (0, 20), "validation": (20, 28), "test": (28, 40)}


class TavernDice(Environment):
    """Roll three cups, add up, and tell the total together with the bonus of the table."""

    instructions = (
        "Call table_bonus for the table. Then roll cups 1, 2 and 3. Answer with the sum of the three rolls plus the "
        "bonus, as a number alone."
    )
    typical_turns = 5

    def tasks(self, split):
        """Return one evening per task."""
        return [
            Task(
                id=f"evening-{number}",
                prompt=f"Table {40 + number}, three cups.",
                data={"table": 40 + number, "bonus": 3 + number * 7 % 11},
                split=split,
            )
            for number in range(*SPLITS[split])
        ]

    def open(self, task, seed):
        """Put the cups on the table."""
        super().open(task, seed)
        self.rolled = {}

    @tool
    def table_bonus(self, table: int) -> int:
        """Return the bonus of a table.

        Args:
            table: Number of the table.
        """
        if table != self.task.data["table"]:
            raise ToolError(f"you do not sit at table {table}")
        return self.task.data["bonus"]

    @tool
    def roll(self, cup: int) -> dict[str, int]:
        """Roll the die of a cup; a cup that was rolled keeps its number.

        Args:
            cup: 1, 2 or 3.
        """
        if cup not in (1, 2, 3):
            raise ToolError(f"there is no cup {cup}")
        self.rolled.setdefault(cup, random.randint(1, 6))
        return {"shows": self.rolled[cup]}

    def reward(self, episode):
        """Return 1 for the right total after all three cups."""
        right = sum(self.rolled.values()) + episode.task.data["bonus"]
        return float(len(self.rolled) == 3 and episode.answer.strip() == str(right))

    def oracle(self, task):
        """Roll everything, add up."""
        (bonus,) = yield call("table_bonus", table=int(task.prompt.split()[1].rstrip(",")))
        total = int(bonus.content)
        for cup in (1, 2, 3):
            (shown,) = yield call("roll", cup=cup)
            total += json.loads(shown.content)["shows"]
        yield say(str(total))
