"""A museum's register of loans."""

import json
import random

from turnwright import Task, ToolError, call, say, tool
from turnwright.environments.resources.sqlite import SqliteFile
from turnwright.environments.stateful import StatefulEnvironment

SCHEMA = (
    "CREATE TABLE objects (id INTEGER PRIMARY KEY, title TEXT NOT NULL, place TEXT NOT NULL, insured INTEGER NOT NULL)"
)
PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
TITLES = ("Amphora", "Mask", "Globe", "Clock", "Lute", "Coin", "Map", "Shield", "Crown", "Letter")


def fill(database, task, seed):
    """Put the objects of a task into its register."""
    database.insert("objects", task.data["objects"])


class MuseumLoans(StatefulEnvironment):
    """Send one object on loan, insured if need be; the register must end exactly as the rules say."""

    instructions = (
        "Call show_object. If it is not in the store, change nothing. Otherwise insure it first if it is not insured, "
        "and then call send_on_loan. Say done in the end."
    )
    typical_turns = 4
    resources = {"db": SqliteFile(SCHEMA, fill=fill)}  # noqa: RUF012

    def tasks(self, split):
        """Return one request per task."""
        return [self.request(split, number) for number in range(*PARTS[split])]

    def request(self, split, number):
        """Draw a register of three objects, and ask for one of them."""
        chance = random.Random(f"museum {number}")
        ids = chance.sample(range(1000, 9999), 3)
        objects = sorted(
            (
                {
                    "id": one,
                    "title": title,
                    "place": chance.choice(("store", "store", "hall")),
                    "insured": chance.randint(0, 1),
                }
                for one, title in zip(ids, chance.sample(TITLES, 3), strict=True)
            ),
            key=lambda row: row["id"],
        )
        expected = [dict(row) for row in objects]
        for row in expected:
            if row["id"] == ids[0] and row["place"] == "store":
                row.update(place="loan", insured=1)
        data = {"objects": objects, "expected": expected}
        return Task(id=f"m{number}", prompt=f"Request for object {ids[0]}", data=data, split=split)

    @tool
    def show_object(self, object_id: int) -> dict:
        """Return title, place and insurance of an object.

        Args:
            object_id: Number of the object.
        """
        rows = self.db.rows("SELECT title, place, insured FROM objects WHERE id = ?", [object_id])
        if not rows:
            raise ToolError(f"no object {object_id}")
        return rows[0]

    @tool
    def insure(self, object_id: int) -> str:
        """Insure an object.

        Args:
            object_id: Number of the object.
        """
        if not self.db.change("UPDATE objects SET insured = 1 WHERE id = ?", [object_id]):
            raise ToolError(f"no object {object_id}")
        return f"object {object_id} is insured"

    @tool
    def send_on_loan(self, object_id: int) -> str:
        """Send an object that is in the store on loan.

        Args:
            object_id: Number of the object.
        """
        if not self.db.change("UPDATE objects SET place = 'loan' WHERE id = ? AND place = 'store'", [object_id]):
            raise ToolError(f"object {object_id} is not in the store")
        return f"object {object_id} is on loan"

    def reward(self, episode):
        """Return 1 when the whole register is as it should be."""
        return float(list(self.state_of("db")["objects"]) == episode.task.data["expected"])

    def oracle(self, task):
        """Follow the rules."""
        number = int(task.prompt.split()[-1])
        (shown,) = yield call("show_object", object_id=number)
        shown = json.loads(shown.content)
        if shown["place"] == "store":
            if not shown["insured"]:
                yield call("insure", object_id=number)
            yield call("send_on_loan", object_id=number)
        yield say("done")
