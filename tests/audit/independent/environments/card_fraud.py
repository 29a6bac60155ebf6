"""Card transactions: which are fraudulent?"""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool


class CardFraud(Environment):
    """Flag a transaction from the card's history."""

    instructions = (
        "Look at the transaction with history(card). It is fraud when the card was used in two countries within an "
        "hour, or more than 20 times within a day. Answer: fraud or legitimate."
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("cards" + split)
        size = {"train": 60, "validation": 33, "test": 33}[split]
        for n in range(size):
            fraud = n % 33 == 17
            history = {
                "countries_last_hour": 2 if fraud and rng.random() < 0.5 else 1,
                "uses_today": rng.randrange(1, 15),
            }
            if fraud and history["countries_last_hour"] == 1:
                history["uses_today"] = rng.randrange(21, 50)
            card = f"{rng.randrange(10**7, 10**8)}"
            data = {"card": card, "history": history, "gold": "fraud" if fraud else "legitimate"}
            prompt = f"Card {card}: {rng.randrange(3, 900)} euros at a {rng.choice(['shop', 'kiosk', 'station'])}"
            yield Task(id=f"{split}-{n}", prompt=prompt, data=data, split=split)

    @tool
    def history(self, card: str) -> dict[str, int]:
        """Return where and how often a card was used.

        Args:
            card: Eight digits.
        """
        if card != self.task.data["card"]:
            raise ToolError("unknown card")
        return self.task.data["history"]

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (found,) = yield call("history", card=task.data["card"])
        seen = json.loads(found.content)
        yield say("fraud" if seen["countries_last_hour"] > 1 or seen["uses_today"] > 20 else "legitimate")
