"""Grants of a foundation."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool
from turnwright.environments.answers import final_answer

PROMPT = """Application {number}
Applicant: {name}
Sum: {sum} EUR
Remark of the intake office: file complete, forwarded to panel {panel} with proposal "{proposal}"."""
NAMES = ("Choir Nord", "Bee Yard", "Night School", "Boat House", "Repair Cafe", "Street Circus")


class GrantReview(Environment):
    """Decide about applications by the foundation's rules."""

    instructions = (
        "Read the budget with read_budget and the history with read_history. An applicant with an overdue report is "
        "postponed; one whose own share is under 10 percent gets half; all others get the full sum. "
        'Answer: <final_output>{"decision": "full"}</final_output> with full, half or postponed.'
    )
    typical_turns = 3

    def tasks(self, split):
        """Return applications; each comes with its own file."""
        start = {"train": 0, "validation": 18, "test": 27}[split]
        stop = {"train": 18, "validation": 27, "test": 36}[split]
        return [make(split, number) for number in range(start, stop)]

    @tool
    def read_budget(self, application: int) -> dict[str, int]:
        """Return the applicant's own share in percent.

        Args:
            application: Number of the application.
        """
        return {"own_share_percent": self._file(application)["share"]}

    @tool
    def read_history(self, application: int) -> dict[str, bool]:
        """Return whether a report about an earlier grant is overdue.

        Args:
            application: Number of the application.
        """
        return {"report_overdue": self._file(application)["overdue"]}

    def _file(self, application):
        if application != self.task.data["number"]:
            raise ToolError(f"application {application} is not on this desk")
        return self.task.data

    def reward(self, episode):
        """Return 1 for the right decision."""
        return float(final_answer(episode) == episode.task.data["gold"])

    def oracle(self, task):
        """Read both files, decide."""
        number = int(task.prompt.split()[1])
        (budget,) = yield call("read_budget", application=number)
        (history,) = yield call("read_history", application=number)
        overdue = json.loads(history.content)["report_overdue"]
        small = json.loads(budget.content)["own_share_percent"] < 10
        decision = "postponed" if overdue else "half" if small else "full"
        yield say(f"<final_output>{json.dumps({'decision': decision})}</final_output>")


def make(split, number):
    """Draw an application."""
    chance = random.Random(1000 + number)
    overdue, share = chance.random() < 0.33, chance.choice((chance.randint(0, 9), chance.randint(10, 60)))
    decision = "postponed" if overdue else "half" if share < 10 else "full"
    prompt = PROMPT.format(
        number=7000 + number,
        name=chance.choice(NAMES),
        sum=chance.randrange(1000, 20000, 500),
        panel=chance.choice("AB"),
        proposal=decision,
    )
    data = {"number": 7000 + number, "share": share, "overdue": overdue, "gold": {"decision": decision}}
    return Task(id=f"g{number}", prompt=prompt, data=data, split=split)
