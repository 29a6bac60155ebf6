"""Word problems about a shop's till."""

import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

GOODS = ["tea", "soap", "rope", "nails", "candles"]


class ArithmeticShop(Environment):
    """Compute a bill: prices are looked up, quantities are in the question."""

    instructions = (
        "Look the prices up with price(article), think it through, and state the total. The grader looks for "
        "\\boxed{TOTAL}."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random("till" + split)
        tasks = []
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            bought = {good: rng.randrange(2, 15) for good in rng.sample(GOODS, 2)}
            prices = {good: rng.randrange(3, 40) for good in GOODS}
            listed = " and ".join(f"{amount} {good}" for good, amount in bought.items())
            data = {"bought": bought, "prices": prices, "gold": sum(a * prices[g] for g, a in bought.items())}
            prompt = f"{split.title()} customer {n} buys {listed}. What is the bill?"
            tasks.append(Task(id=f"{split}{n:02}", prompt=prompt, data=data, split=split))
        return tasks

    @tool
    def price(self, article: str) -> int:
        """Return the price of one article in pence.

        Args:
            article: What is sold.
        """
        if article not in self.task.data["prices"]:
            raise ToolError(f"we do not sell {article}")
        return self.task.data["prices"][article]

    def reward(self, episode):
        boxes = []
        for turn in episode.turns:
            boxes += re.findall(r"\\boxed\{(-?\d+)\}", turn.reply.reasoning + turn.reply.content)
        return float(str(episode.task.data["gold"]) in boxes[:3])

    def oracle(self, task):
        total = 0
        for good, amount in task.data["bought"].items():
            (price,) = yield call("price", article=good)
            total += amount * int(price.content)
        yield say(f"The bill is \\boxed{{{total}}}")
