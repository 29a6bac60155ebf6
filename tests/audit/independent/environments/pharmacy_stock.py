"""Replenishment of a pharmacy. A wrong order costs money, so the reward has a negative side."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool


class PharmacyStock(Environment):
    """Order what a medicine lacks to its target stock, in whole packs."""

    instructions = (
        "shelf(medicine) gives what is there and the target, both in tablets; packs(medicine) the size of a pack. "
        "Order the fewest packs that bring the stock to the target at least. Answer: order N packs. Do not guess: "
        "a wrong order costs a point, no order costs nothing."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random("pharmacy " + split)
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            stock, target, pack = rng.randrange(0, 400), rng.randrange(200, 900), rng.choice((10, 20, 28, 50))
            medicine = f"{rng.choice(['Ala', 'Bero', 'Cyna'])}{rng.choice(['mol', 'dex', 'tan'])} {rng.randrange(999)}"
            gold = -(-max(0, target - stock) // pack)
            data = {"medicine": medicine, "stock": stock, "target": target, "pack": pack, "answer": gold}
            prompt = f"Shift {split[0]}{n}: please see to {medicine}."
            yield Task(id=f"{split}-{n}", prompt=prompt, data=data, split=split)

    @tool
    def shelf(self, medicine: str) -> dict[str, int]:
        """Return stock and target of a medicine in tablets.

        Args:
            medicine: Name and number.
        """
        self._check(medicine)
        return {"stock": self.task.data["stock"], "target": self.task.data["target"]}

    @tool
    def packs(self, medicine: str) -> int:
        """Return how many tablets a pack of a medicine holds.

        Args:
            medicine: Name and number.
        """
        self._check(medicine)
        return self.task.data["pack"]

    def _check(self, medicine):
        if medicine != self.task.data["medicine"]:
            raise ToolError(f"{medicine} is not on our list")

    def reward(self, episode):
        words = episode.answer.strip(" .").split()
        if len(words) != 3 or words[0] != "order" or words[2] != "packs" or not words[1].isdigit():
            return 0.0
        return 1.0 if int(words[1]) == episode.task.data["answer"] else -1.0

    def oracle(self, task):
        medicine = task.prompt.split(" to ")[1].rstrip(".")
        (shelf,) = yield call("shelf", medicine=medicine)
        (pack,) = yield call("packs", medicine=medicine)
        row = json.loads(shelf.content)
        missing = max(0, row["target"] - row["stock"])
        yield say(f"order {-(-missing // int(pack.content))} packs")
