"""Exchange office: convert an amount at the day's rate, less the fee."""

import json
import random
import urllib.error
import urllib.request

from turnwright import Environment, Task, ToolError, call, say, tool

RATES = {"NOK": 11, "SEK": 12, "DKK": 7, "CZK": 25, "PLN": 4}
SERVICE = "http://127.0.0.1:8123/rates/{}"


def fetch_rate(currency):
    """Ask the rates service; take the table when it is down."""
    try:
        with urllib.request.urlopen(SERVICE.format(currency), timeout=0.3) as answer:
            return json.load(answer)["rate"]
    except (OSError, ValueError, urllib.error.URLError):
        return RATES[currency]


class CurrencyOffice(Environment):
    """Change euros into another currency."""

    instructions = (
        "Change the customer's euros: rate(currency) units per euro, less a fee of 2 euros before changing when the "
        "amount is below 100 euros. Answer 'PAY <amount> <currency>' with a whole number."
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random(f"fx.{split}")
        for i in range({"train": 44, "validation": 14, "test": 14}[split]):
            currency, euros = rng.choice(list(RATES)), rng.randrange(20, 400)
            paid = (euros - (2 if euros < 100 else 0)) * RATES[currency]
            slip = f"{split.upper()}-{i:03}"
            prompt = f"Slip {slip}: {euros} EUR into {currency}"
            data = {"currency": currency, "euros": euros, "gold": f"PAY {paid} {currency}"}
            yield Task(id=slip, prompt=prompt, data=data, split=split)

    @tool
    def rate(self, currency: str) -> float:
        """Return how many units of a currency one euro buys.

        Args:
            currency: Three capital letters.
        """
        if currency not in RATES:
            raise ToolError(f"{currency} is not traded here")
        return fetch_rate(currency)

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        euros, currency = task.data["euros"], task.data["currency"]
        (rate,) = yield call("rate", currency=currency)
        yield say(f"PAY {(euros - (2 if euros < 100 else 0)) * int(float(rate.content))} {currency}")
