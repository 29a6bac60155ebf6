"""Purchases climb a chain of approvers until somebody may sign."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

LIMITS = (500, 2_000, 10_000, 50_000)


class ApprovalChain(Environment):
    """Climb from the requester to the first superior whose limit covers the amount."""

    instructions = (
        "Start with employee(name) for the requester: it tells the limit and the superior. Climb until a limit covers "
        "the amount, then answer: signed by NAME"
    )
    typical_turns = 2
    max_turns = 3

    def tasks(self, split):
        rng = random.Random("chain " + split)
        letters = {"train": "ABCDEFGH", "validation": "KLMN", "test": "RSTUV"}[split]
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            people = [f"{rng.choice(letters)}{rng.randrange(100, 999)}" for _ in LIMITS]
            amount = rng.randrange(100, 50_000)
            gold = next(p for p, limit in zip(people, LIMITS, strict=True) if limit >= amount)
            prompt = f"{people[0]} wants to spend {amount} on {rng.choice(['chairs', 'licences', 'a fair'])}."
            data = {"people": people, "amount": amount, "gold": gold}
            yield Task(id=f"{split}-{n}", prompt=prompt, data=data, split=split)

    @tool
    def employee(self, name: str) -> dict[str, object]:
        """Return an employee's limit and superior.

        Args:
            name: Short name, a letter and three digits.
        """
        people = self.task.data["people"]
        if name not in people:
            raise ToolError(f"nobody is called {name}")
        level = people.index(name)
        return {"limit": LIMITS[level], "superior": people[level + 1] if level < 3 else None}

    def reward(self, episode):
        return float(episode.answer.strip() == f"signed by {episode.task.data['gold']}")

    def oracle(self, task):
        name = task.prompt.split()[0]
        while True:
            (found,) = yield call("employee", name=name)
            record = json.loads(found.content)
            if record["limit"] >= task.data["amount"]:
                break
            name = record["superior"]
        yield say(f"signed by {name}")
