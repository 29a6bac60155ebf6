"""Permits of a town hall: how long is one still valid?"""

import json
from datetime import date, timedelta
from random import Random

from turnwright import Environment, Task, ToolError, call, say, tool

PARTS = {"train": range(20), "validation": range(20, 28), "test": range(28, 40)}


class PermitOffice(Environment):
    """Tell how many days a permit is still valid."""

    instructions = (
        "Call permit for the day a permit ends, and calendar for today. Answer with the number of days from today to "
        "the end, as in: days: 12"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one permit per task."""
        tasks = []
        for number in PARTS[split]:
            ends = date(2031, 1, 1) + timedelta(days=Random(f"permit {number}").randrange(1500))
            data = {"permit": f"B-{number + 210}", "ends": ends.isoformat()}
            tasks.append(Task(id=data["permit"], prompt=f"Permit {data['permit']}", data=data, split=split))
        return tasks

    @tool
    def permit(self, number: str) -> str:
        """Return the last day of a permit, as YYYY-MM-DD.

        Args:
            number: The permit, such as B-7.
        """
        if number != self.task.data["permit"]:
            raise ToolError(f"no permit {number}")
        return self.task.data["ends"]

    @tool
    def calendar(self) -> dict[str, str]:
        """Return what day it is."""
        return {"today": date.today().isoformat()}  # noqa: DTZ011

    def reward(self, episode):
        """Return 1 for the right number of days."""
        left = (date.fromisoformat(episode.task.data["ends"]) - date.today()).days  # noqa: DTZ011
        return float(episode.answer.strip() == f"days: {left}")

    def oracle(self, task):
        """Subtract."""
        (ends,) = yield call("permit", number=task.prompt.split()[1])
        (today,) = yield call("calendar")
        now = date.fromisoformat(json.loads(today.content)["today"])
        yield say(f"days: {(date.fromisoformat(ends.content) - now).days}")
