"""A library's desk: what does a reader owe?"""

import json
from random import Random

from turnwright import Environment, Task, ToolError, call, say, tool

RATES = {"book": 5, "film": 20, "map": 35}
SIZES = {"train": range(20), "validation": range(20, 30), "test": range(30, 40)}


class LibraryFines(Environment):
    """Work out the fine of one loan, in cents."""

    instructions = (
        "Call get_loan and get_rate. The fine is the rate of the kind times the days late beyond the first three, "
        "in cents. Answer with the number only, as in: 140"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one task per loan."""
        made = []
        for number in SIZES[split]:
            chance = Random(number)
            kind, late = chance.choice(sorted(RATES)), chance.randint(4, 60)
            data = {"loan": f"L{number + 500}", "kind": kind, "late": late, "fine": RATES[kind] * (late - 3)}
            made.append(Task(id=str(number), prompt=f"loan: {data['loan']}", data=data, split=split))
        return made

    @tool
    def get_loan(self, loan: str) -> dict:
        """Return kind and days late of a loan.

        Args:
            loan: Number of the loan, such as L17.
        """
        if loan != self.task.data["loan"]:
            raise ToolError(f"there is no loan {loan}")
        return {"kind": self.task.data["kind"], "days_late": self.task.data["late"], "_check": self.task.data["fine"]}

    @tool
    def get_rate(self, kind: str) -> int:
        """Return the cents a day of being late costs.

        Args:
            kind: Kind of the thing lent: book, film or map.
        """
        if kind not in RATES:
            raise ToolError(f"no kind {kind}")
        return RATES[kind]

    def reward(self, episode):
        """Return 1 for the exact number."""
        return 1.0 if episode.answer.strip() == str(episode.task.data["fine"]) else 0.0

    def oracle(self, task):
        """Look up, multiply."""
        (loan,) = yield call("get_loan", loan=task.prompt.removeprefix("loan: "))
        loan = json.loads(loan.content)
        (rate,) = yield call("get_rate", kind=loan["kind"])
        yield say(str(int(rate.content) * (loan["days_late"] - 3)))
