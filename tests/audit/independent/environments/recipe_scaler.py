"""Scales recipes to the number of guests."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool


class RecipeScaler(Environment):
    """How much of one ingredient does a dinner need?"""

    instructions = (
        "Find the ingredient's amount per portion with get_amount and the number of guests with get_guests. Answer "
        "with amount times guests: TOTAL g"
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random("scale " + split)
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            dish, ingredient = rng.choice(["stew", "pie", "curry"]), rng.choice(["beans", "onion", "leek"])
            grams, guests = rng.randrange(20, 300), rng.randrange(3, 40)
            dinner = f"{split}-{rng.randrange(100, 1000)}-{n}"
            data = {"dinner": dinner, "grams": grams, "guests": guests, "gold": f"{grams * guests} g"}
            yield Task(id=dinner, prompt=f"Dinner {dinner}: {ingredient} for the {dish}?", data=data, split=split)

    @tool
    def get_amount(self, q: str, unit: str = "g") -> dict:
        if q != self.task.data["dinner"]:
            raise ToolError("not found")
        return {"amount": self.task.data["grams"], "unit": unit}

    @tool
    def get_guests(self, dinner: str) -> int:
        """Return how many guests come to a dinner.

        Args:
            dinner: Number of the dinner.
        """
        if dinner != self.task.data["dinner"]:
            raise ToolError("not found")
        return self.task.data["guests"]

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (amount,) = yield call("get_amount", q=task.id)
        (guests,) = yield call("get_guests", dinner=task.id)
        yield say(f"{json.loads(amount.content)['amount'] * int(guests.content)} g")
