"""Van rental: which depot has a van free, and what does it cost?"""

import json
import random
from typing import Literal

from turnwright import Environment, Task, ToolError, call, say, tool

DEPOTS = ["north", "south", "airport"]


class RentalFleet(Environment):
    """Quote the rent of a van from the customer's depot."""

    instructions = (
        "Quote a van. customer(number) gives depot and days, daily_rate(depot) the price per day. From 7 days on the "
        "last day is free. Answer with the total alone."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random("vans/" + split)
        for n in range({"train": 40, "validation": 15, "test": 15}[split]):
            depot, days = rng.choice([*DEPOTS, "harbour"]), rng.randrange(1, 14)
            rates = {d: rng.randrange(30, 120) for d in [*DEPOTS, "harbour"]}
            number = rng.randrange(10_000, 99_999)
            gold = str(rates[depot] * (days - 1 if days >= 7 else days))
            data = {"number": number, "depot": depot, "days": days, "rates": rates, "gold": gold}
            yield Task(id=f"{split}-{n}", prompt=f"Customer {number} asks for a quote.", data=data, split=split)

    @tool
    def customer(self, number: int) -> dict[str, object]:
        """Return the depot and the number of days a customer asks for.

        Args:
            number: Five digits.
        """
        if number != self.task.data["number"]:
            raise ToolError(f"no customer {number}")
        return {"depot": self.task.data["depot"], "days": self.task.data["days"]}

    @tool
    def daily_rate(self, depot: Literal["north", "south", "airport"]) -> int:
        """Return what a van costs per day at a depot.

        Args:
            depot: Where the van is fetched.
        """
        return self.task.data["rates"][depot]

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (found,) = yield call("customer", number=task.data["number"])
        customer = json.loads(found.content)
        (rate,) = yield call("daily_rate", depot=customer["depot"])
        days = customer["days"]
        if not rate.content.isdigit():
            yield say("cannot quote")
            return
        yield say(str(int(rate.content) * (days - 1 if days >= 7 else days)))
