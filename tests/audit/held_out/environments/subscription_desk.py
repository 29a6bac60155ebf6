"""A newspaper's subscriptions, in SQLite."""

import json
import random

from turnwright import Task, ToolError, call, say, tool
from turnwright.environments.resources.sqlite import SqliteFile
from turnwright.environments.stateful import StatefulEnvironment

SCHEMA = (
    "CREATE TABLE subscriptions (id INTEGER PRIMARY KEY, reader TEXT NOT NULL, months INTEGER, state TEXT NOT NULL);"
)
PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
INSTRUCTIONS = """\
A reader asks to end a subscription. Call find_subscriptions for the reader. Of the active ones, cancel the one that has
run the longest, and no other. Then say: done"""


def fill(database, task, seed):
    """Put the task's rows into the database."""
    database.insert("subscriptions", task.data["rows"])


class SubscriptionDesk(StatefulEnvironment):
    """Cancel the right subscription of a reader."""

    instructions = INSTRUCTIONS
    typical_turns = 3
    resources = {"db": SqliteFile(SCHEMA, fill=fill)}  # noqa: RUF012

    def tasks(self, split):
        """Return one reader per task."""
        return [self.request(split, number) for number in range(*PARTS[split])]

    def request(self, split, number):
        """Draw a reader with four subscriptions, three of them active."""
        chance = random.Random(f"reader {number}")
        ids, months = sorted(chance.sample(range(100, 1000), 4)), chance.sample(range(2, 90), 4)
        ended = chance.randrange(4)
        rows = [
            {"id": one, "reader": f"R{number}", "months": age, "state": "ended" if place == ended else "active"}
            for place, (one, age) in enumerate(zip(ids, months, strict=True))
        ]
        target = max((row for row in rows if row["state"] == "active"), key=lambda row: row["months"])["id"]
        return Task(id=f"r{number}", prompt=f"Reader R{number}", data={"rows": rows, "target": target}, split=split)

    @tool
    def find_subscriptions(self, reader: str) -> list[dict]:
        """Return the subscriptions of a reader.

        Args:
            reader: Such as R1.
        """
        found = self.db.rows("SELECT id, months, state FROM subscriptions WHERE reader = ? ORDER BY id", [reader])
        if not found:
            raise ToolError(f"no reader {reader}")
        return found

    @tool
    def cancel(self, subscription: int) -> str:
        """Cancel a subscription.

        Args:
            subscription: Its id.
        """
        sql = "UPDATE subscriptions SET state = 'cancelled' WHERE id = ? AND state = 'active'"
        if not self.db.change(sql, [subscription]):
            raise ToolError(f"no active subscription {subscription}")
        return "cancelled"

    def reward(self, episode):
        """Return 1 when the subscription is cancelled."""
        (row,) = self.db.rows("SELECT state FROM subscriptions WHERE id = ?", [episode.task.data["target"]])
        return float(row["state"] == "cancelled")

    def oracle(self, task):
        """Find the oldest active one, cancel it."""
        (found,) = yield call("find_subscriptions", reader=task.prompt.split()[1])
        active = [row for row in json.loads(found.content) if row["state"] == "active"]
        yield call("cancel", subscription=max(active, key=lambda row: row["months"])["id"])
        yield say("done")
