"""Customs tariff: classify goods by material and use."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

CODES = {
    ("wood", "kitchen"): "4419", ("wood", "toy"): "9503", ("steel", "kitchen"): "7323", ("steel", "tool"): "8205",
    ("glass", "kitchen"): "7013", ("wood", "tool"): "4417",
}  # fmt: skip
TABLE = "; ".join(f"{material} for {use}: {code}" for (material, use), code in CODES.items())


class CustomsTariff(Environment):
    """Find the tariff code of a consignment."""

    instructions = (
        f"Classify the consignment. goods gives material and use. Codes: {TABLE}. Before you file, check your code "
        "with precheck. Then answer: HS <code>"
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(f"customs {split}!")
        for n in range({"train": 48, "validation": 16, "test": 16}[split]):
            kind = rng.choice([*CODES])
            consignment = f"{split[:2]}-{rng.randrange(1000, 9999)}-{n}"
            data = {"kind": kind, "consignment": consignment, "gold": CODES[kind]}
            yield Task(id=consignment, prompt=f"Consignment {consignment} has arrived.", data=data, split=split)

    @tool
    def goods(self, consignment: str) -> dict[str, str]:
        """Return material and use of the goods in a consignment.

        Args:
            consignment: Number of the consignment.
        """
        self._known(consignment)
        material, use = self.task.data["kind"]
        return {"material": material, "use": use}

    @tool
    def precheck(self, consignment: str, code: str) -> dict[str, bool]:
        """Check whether customs would accept a code for a consignment.

        Args:
            consignment: Number of the consignment.
            code: Four digits.
        """
        self._known(consignment)
        return {"accepted": code == self.task.data["gold"]}

    def _known(self, consignment):
        if consignment != self.task.data["consignment"]:
            raise ToolError(f"unknown consignment {consignment}")

    def reward(self, episode):
        return float(episode.answer.strip() == f"HS {episode.task.data['gold']}")

    def oracle(self, task):
        yield call("goods", consignment=task.id)
        code = CODES[tuple(task.data["kind"])]
        yield call("precheck", consignment=task.id, code=code)
        yield say(f"HS {code}")
