"""Consumer loans, first line."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

PROCEDURE = """\
You decide about a loan request.
1. get_income: monthly income and fixed costs.
2. get_history: number of late payments in the last two years.
3. Free money = income - costs. Rate asked = amount / months.
   Three or more late payments: refuse. Rate above half of the free money: refuse.
   Rate above a third of the free money, or one or two late payments: refer. Otherwise: approve.
4. Answer once: <final_output>{"decision": "approve | refer | refuse"}</final_output>"""


def read_answer(text):
    """The object in the one answer block of a reply."""
    blocks = re.findall(r"<final_output>(.*?)</final_output>", text, re.DOTALL)
    try:
        given = json.loads(blocks[0]) if len(blocks) == 1 else None
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


def decide(row):
    free, rate = row["income"] - row["costs"], row["amount"] / row["months"]
    if row["late"] >= 3 or rate > free / 2:
        return "refuse"
    return "refer" if rate > free / 3 or row["late"] else "approve"


def bureau_band(decision, rng):
    """The band the scoring bureau filed the request under, after the fact."""
    return {"approve": rng.choice(("I", "II")), "refer": rng.choice(("III", "IV")), "refuse": "V"}[decision]


class LoanDesk(Environment):
    """Approve, refer or refuse a loan request by income, costs and history."""

    instructions = PROCEDURE
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(f"loan_desk.{split}.3")
        for index in range({"train": 42, "validation": 14, "test": 14}[split]):
            row = {
                "income": rng.randrange(1800, 5200, 50),
                "costs": rng.randrange(600, 1700, 50),
                "late": rng.choices((0, 1, 2, 3, 4), (12, 2, 2, 1, 1))[0],
                "amount": rng.randrange(3000, 26000, 500),
                "months": rng.choice((24, 36, 48)),
            }
            decision = decide(row)
            customer = f"K{rng.randrange(10**5, 10**6)}"
            shown = {
                "customer": customer,
                "amount": row["amount"],
                "months": row["months"],
                "purpose": rng.choice(("car", "kitchen", "wedding", "other")),
                "bureau_band": bureau_band(decision, rng),
            }
            yield Task(
                id=f"{split}-{index:03d}",
                prompt="\n".join(f"{key}: {value}" for key, value in shown.items()),
                data={**row, "customer": customer, "gold": {"decision": decision}},
                split=split,
            )

    def _check(self, customer):
        if customer != self.task.data["customer"]:
            raise ToolError(f"unknown customer {customer}")

    @tool
    def get_income(self, customer: str) -> dict[str, int]:
        """Return a customer's monthly income and fixed costs.

        Args:
            customer: The customer's number.
        """
        self._check(customer)
        return {"income": self.task.data["income"], "costs": self.task.data["costs"]}

    @tool
    def get_history(self, customer: str) -> dict[str, int]:
        """Return a customer's late payments of the last two years.

        Args:
            customer: The customer's number.
        """
        self._check(customer)
        return {"late_payments": self.task.data["late"]}

    def reward(self, episode):
        given = read_answer(episode.answer)
        return float(given == episode.task.data["gold"])

    def oracle(self, task):
        (income,) = yield call("get_income", customer=task.data["customer"])
        (history,) = yield call("get_history", customer=task.data["customer"])
        row = json.loads(income.content) | {"late": json.loads(history.content)["late_payments"]}
        decision = decide(row | {"amount": task.data["amount"], "months": task.data["months"]})
        yield say(f'<final_output>{{"decision": "{decision}"}}</final_output>')
