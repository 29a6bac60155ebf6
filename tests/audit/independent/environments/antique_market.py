"""Haggling at an antique market: find out what the dealer wants and offer the fair price."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

WARES = {"clock": 120, "lamp": 60, "mirror": 80, "chair": 45, "globe": 150}


class AntiqueMarket(Environment):
    """Work out the fair price of a ware: list price less what its condition costs."""

    instructions = (
        "Ask the dealer for the list price and inspect the ware. Good: full price. Worn: three quarters. Broken: half. "
        "Round down and answer with the number alone."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(split * 3)
        for i in range({"train": 35, "validation": 12, "test": 12}[split]):
            ware = rng.choice(sorted(WARES))
            state = rng.choice(["good", "worn", "broken"])
            listed = WARES[ware] + rng.randrange(0, 60)
            fair = {"good": listed, "worn": listed * 3 // 4, "broken": listed // 2}[state]
            yield Task(
                id=f"{split}-{ware}-{i}",
                prompt=f"You stand at stall {rng.randrange(1, 900)} of the {split} market and like the {ware}.",
                data={"ware": ware, "state": state, "listed": listed, "gold": fair},
                split=split,
            )

    @tool
    def ask_dealer(self, ware: str) -> str:
        """Ask the dealer what a ware costs.

        Args:
            ware: What to ask for.
        """
        if ware != self.task.data["ware"]:
            raise ToolError(f"I have no {ware}")
        greeting = random.choice(["Good eye!", "Ah, a connoisseur.", "My grandmother's!", "Just came in."])
        return f"{greeting} {self.task.data['listed']}, not a coin less."

    @tool
    def inspect(self, ware: str) -> str:
        """Look closely at a ware; returns its condition.

        Args:
            ware: What to look at.
        """
        if ware != self.task.data["ware"]:
            raise ToolError(f"there is no {ware} on the table")
        return self.task.data["state"]

    def reward(self, episode):
        answer = episode.answer.strip()
        return float(answer.isdigit() and int(answer) == episode.task.data["gold"])

    def oracle(self, task):
        ware = task.data["ware"]
        (told,) = yield call("ask_dealer", ware=ware)
        listed = int(told.content.split()[-5].rstrip(","))
        (state,) = yield call("inspect", ware=ware)
        share = {"good": 4, "worn": 3, "broken": 2}[state.content]
        yield say(str(listed * share // 4))
