"""Invoices of a print shop."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
UNIT = {"poster": 1.5, "flyer": 0.25, "card": 0.5, "banner": 12.25}


class InvoiceTotals(Environment):
    """Work out what a printing order costs."""

    instructions = (
        "Call get_order and get_price. Answer with the amount in euros, with a point and at most two decimals; 7.5 and "
        "7.50 are the same: <amount>7.50</amount>"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one order per task."""
        return [self.make(split, number) for number in range(*PARTS[split])]

    def make(self, split, number):
        """Draw an order."""
        chance = random.Random(f"print {number}")
        item, pieces = chance.choice(sorted(UNIT)), chance.randint(3, 200)
        data = {"order": f"PR{number + 11}", "item": item, "pieces": pieces, "amount": pieces * UNIT[item]}
        return Task(id=data["order"], prompt=f"Order {data['order']}", data=data, split=split)

    @tool
    def get_order(self, order: str) -> dict:
        """Return what is printed and how often.

        Args:
            order: Number of the order.
        """
        if order != self.task.data["order"]:
            raise ToolError(f"no order {order}")
        return {"item": self.task.data["item"], "pieces": self.task.data["pieces"]}

    @tool
    def get_price(self, item: str) -> float:
        """Return the price of a piece in euros.

        Args:
            item: What is printed: poster, flyer, card or banner.
        """
        if item not in UNIT:
            raise ToolError(f"no price for {item}")
        return UNIT[item]

    def reward(self, episode):
        """Return 1 for the right amount."""
        return float(episode.answer.strip() == f"<amount>{episode.task.data['amount']}</amount>")

    def oracle(self, task):
        """Multiply."""
        (order,) = yield call("get_order", order=task.prompt.split()[1])
        order = json.loads(order.content)
        (price,) = yield call("get_price", item=order["item"])
        yield say(f"<amount>{order['pieces'] * float(price.content)}</amount>")
