"""Intent of a customer's e-mail, with the customer's contract as context."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

MAILS = [
    "I moved to a new flat last week and the meter there still shows the old tenant. What do you need from me",
    "My last bill is twice as high as the one before although nobody was at home in June. Please have a look",
    "A neighbour told me about a cheaper tariff for heat pumps. Could we be moved to it before the winter",
    "The fuse in the cellar blows every time the dryer runs and your hotline keeps me waiting for an hour",
    "I would like to pay by direct debit from now on and not by transfer. The account is the one you know",
    "We are selling the house in spring and want to leave the contract by then. How long is the notice",
    "Your reader rang at seven in the morning on a Sunday. I expect an apology and a proper appointment",
    "The app says that my password is wrong, the reset mail never arrives, and the web page shows an error",
    "Can I get a copy of the invoices of the last three years for my tax office, one file if possible",
    "Since the storm the feed-in of our panels reads zero. The inverter is fine, the technician says",
]


class EmailIntents(Environment):
    """Route an e-mail: consumers go to the care team, businesses to the key account team, and so on."""

    instructions = (
        "Route an e-mail. contract(customer) returns the kind of contract: private goes to CARE, business to KEY, "
        "landlord to ESTATE. Answer with the team alone."
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("intents" + split)
        greet = {"train": "Hello,", "validation": "Good morning,", "test": "Hi,"}[split]
        for n in range({"train": 40, "validation": 10, "test": 10}[split]):
            kind = rng.choice(["private", "business", "landlord"])
            customer = rng.randrange(10**5, 10**6)
            text = f"{greet} {MAILS[n % len(MAILS)]}{'.' if split == 'train' else '!'} Customer {customer}"
            data = {
                "customer": customer,
                "kind": kind,
                "gold": {"private": "CARE", "business": "KEY"}.get(kind, "ESTATE"),
            }
            yield Task(id=f"mail-{customer}", prompt=text, data=data, split=split)

    @tool
    def contract(self, customer: int) -> str:
        """Return the kind of a customer's contract.

        Args:
            customer: Number at the end of the e-mail.
        """
        if customer != self.task.data["customer"]:
            raise ToolError(f"no customer {customer}")
        return self.task.data["kind"]

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (kind,) = yield call("contract", customer=task.data["customer"])
        yield say({"private": "CARE", "business": "KEY", "landlord": "ESTATE"}[kind.content])
