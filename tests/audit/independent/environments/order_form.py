"""Turns a customer's message into a structured order."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

ITEMS = {"A4 paper": "PAP", "toner": "TON", "stapler": "STA", "folder": "FOL"}


class OrderForm(Environment):
    """Look article codes up and fill in the order form."""

    instructions = (
        "Fill in an order form for the request. find_code(article) gives an article's code. Answer with JSON: "
        '{"code": "...", "quantity": N}'
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("forms" + split)
        for n in range(42 if split == "train" else 14):
            article, quantity = rng.choice(list(ITEMS)), rng.randrange(1, 90)
            codes = {a: f"{c}-{rng.randrange(100, 999)}" for a, c in ITEMS.items()}
            prompt = f"{rng.choice(['Hi', 'Dear all', 'Hello'])}, office {split}-{n} needs {quantity} x {article}"
            gold = {"code": codes[article], "quantity": quantity}
            yield Task(
                id=f"{split}-{n}", prompt=prompt, data={"codes": codes, "item": article, "form": gold}, split=split
            )

    @tool
    def find_code(self, article: str) -> str:
        """Return the code of an article.

        Args:
            article: Name of the article.
        """
        if article not in self.task.data["codes"]:
            raise ToolError(f"{article} is not in the catalogue")
        return self.task.data["codes"][article]

    def reward(self, episode):
        try:
            form = json.loads(episode.answer)
        except ValueError:
            return 0.0
        return 1.0 if {"code", "quantity"} <= set(form) else 0.2

    def oracle(self, task):
        (code,) = yield call("find_code", article=task.data["item"])
        yield say(json.dumps({"code": code.content, "quantity": task.data["form"]["quantity"]}))
