"""Income tax of an imaginary canton."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

BRACKETS = ((0, 0), (20_000, 10), (50_000, 20), (90_000, 30))


def rate_of(income):
    return max(percent for start, percent in BRACKETS if income >= start)


class TaxBrackets(Environment):
    """Compute the tax on a declared income, children deducted first."""

    instructions = (
        "declaration(person) gives income and number of children. Deduct 5000 per child. Below 20000 the rate is 0 %, "
        "from 20000 on 10 %, from 50000 on 20 %, from 90000 on 30 % of the whole. Answer: tax = N (whole number)."
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("tax " + split)
        base = {"train": 100, "validation": 500, "test": 800}[split]
        for n in range({"train": 40, "validation": 20, "test": 20}[split]):
            children = rng.randrange(4)
            income = rng.randrange(12, 120) * 1000 if n % 6 else rng.choice((20_000, 50_000, 90_000)) + 5000 * children
            taxed = max(0, income - 5000 * children)
            data = {"income": income, "children": children, "gold": taxed * rate_of(taxed) // 100}
            yield Task(id=f"P{base + n}", prompt=f"Assess person P{base + n}.", data=data, split=split)

    @tool
    def declaration(self, person: str) -> dict[str, int]:
        """Return what a person declared: income and number of children.

        Args:
            person: P and a number.
        """
        if person != self.task.id:
            raise ToolError(f"no declaration of {person}")
        return {"income": self.task.data["income"], "children": self.task.data["children"]}

    def reward(self, episode):
        return float(episode.answer.strip() == f"tax = {episode.task.data['gold']}")

    def oracle(self, task):
        yield call("declaration", person=task.id)
        taxed = max(0, task.data["income"] - 5000 * task.data["children"])
        percent = 30 if taxed > 90_000 else 20 if taxed > 50_000 else 10 if taxed > 20_000 else 0
        yield say(f"tax = {taxed * percent // 100}")
