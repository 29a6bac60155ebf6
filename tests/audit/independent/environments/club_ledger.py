"""A sports club's ledger: book payments of members and report the balance."""

import random
import sqlite3

from turnwright import Environment, Task, ToolError, call, say, tool

SCHEMA = "CREATE TABLE payments (member TEXT, amount INTEGER); CREATE TABLE dues (member TEXT, amount INTEGER);"


class ClubLedger(Environment):
    """Book a payment and answer with what the member still owes."""

    instructions = (
        "Book the payment with book_payment, then call balance and answer with what the member still owes, as a bare "
        "number (0 when nothing)."
    )
    typical_turns = 3

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.db.executescript(SCHEMA)

    def tasks(self, split):
        rng = random.Random("club " + split)
        people = {"train": "Abe Bea Cal Dee Eli Flo", "validation": "Gil Hope Ida", "test": "Joy Ken Lou"}[
            split
        ].split()
        for n in range({"train": 36, "validation": 12, "test": 12}[split]):
            member, due, paid = rng.choice(people), rng.randrange(40, 200), rng.randrange(10, 180)
            prompt = f"Slip {n} ({split}): {member} paid {paid}."
            data = {"member": member, "due": due, "paid": paid, "gold": max(0, due - paid)}
            yield Task(id=f"slip-{split}-{n}", prompt=prompt, data=data, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        self.db.execute("INSERT INTO dues VALUES (?, ?)", (task.data["member"], task.data["due"]))

    @tool
    def book_payment(self, member: str, amount: int) -> str:
        """Book what a member paid.

        Args:
            member: First name.
            amount: In whole francs.
        """
        if amount <= 0:
            raise ToolError("amount must be positive")
        self.db.execute("INSERT INTO payments VALUES (?, ?)", (member, amount))
        return "booked"

    @tool
    def balance(self, member: str) -> dict[str, int]:
        """Return a member's dues and payments.

        Args:
            member: First name.
        """
        sums = {}
        for table in ("dues", "payments"):
            (sums[table],) = self.db.execute(
                f"SELECT coalesce(sum(amount), 0) FROM {table} WHERE member = ?", (member,)
            ).fetchone()
        return sums

    def reward(self, episode):
        return float(episode.answer.strip() == str(episode.task.data["gold"]))

    def oracle(self, task):
        yield call("book_payment", member=task.data["member"], amount=task.data["paid"])
        yield call("balance", member=task.data["member"])
        yield say(str(max(0, task.data["due"] - task.data["paid"])))
