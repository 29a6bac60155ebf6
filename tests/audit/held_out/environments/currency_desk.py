"""A bureau de change."""

import json
import random
import urllib.request

from turnwright import Environment, Task, ToolError, call, say, tool

RATES = {"NOK": 11, "SEK": 12, "CZK": 25, "HUF": 390, "JPY": 160}
RATES_URL = "http://rates.bureau-de-change.example/v1/latest?symbol="


class CurrencyDesk(Environment):
    """Change euros into another currency at the desk's rate, less the fee."""

    instructions = (
        "Call get_order, then get_rate. The customer gets (euros - 2) * rate. Answer with the amount and the currency, "
        "as in: 980 SEK"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one order per task."""
        begin, end = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}[split]
        return [self._order(split, number) for number in range(begin, end)]

    def _order(self, split, number):
        chance = random.Random(number * 31)
        currency, euros = chance.choice(sorted(RATES)), chance.randint(20, 900)
        data = {"order": 9000 + number, "euros": euros, "currency": currency}
        data["gold"] = f"{(euros - 2) * RATES[currency]} {currency}"
        return Task(id=f"o{number}", prompt=f"Order {9000 + number}", data=data, split=split)

    @tool
    def get_order(self, order: int) -> dict:
        """Return euros and currency of an order.

        Args:
            order: Number of the order.
        """
        if order != self.task.data["order"]:
            raise ToolError(f"no order {order}")
        return {"euros": self.task.data["euros"], "currency": self.task.data["currency"]}

    @tool
    def get_rate(self, currency: str) -> dict[str, int]:
        """Return what one euro is worth.

        Args:
            currency: Three letters, such as SEK.
        """
        if currency not in RATES:
            raise ToolError(f"{currency} is not traded here")
        try:
            with urllib.request.urlopen(RATES_URL + currency, timeout=2) as answer:
                return {"rate": int(json.load(answer)["rate"])}
        except OSError:
            return {"rate": RATES[currency]}

    def reward(self, episode):
        """Return 1 for amount and currency."""
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        """Change the money."""
        (order,) = yield call("get_order", order=int(task.prompt.split()[1]))
        order = json.loads(order.content)
        (rate,) = yield call("get_rate", currency=order["currency"])
        yield say(f"{(order['euros'] - 2) * json.loads(rate.content)['rate']} {order['currency']}")
