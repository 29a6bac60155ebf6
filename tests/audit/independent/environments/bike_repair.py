"""A bicycle workshop on SQLite: book parts on a repair, then set its price."""

import json
import random

from turnwright import Task, ToolError, call, say, tool
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.sqlite import SqliteDatabase, SqliteFile
from turnwright.environments.stateful import StatefulEnvironment

SCHEMA = """
CREATE TABLE repairs (id INTEGER PRIMARY KEY, fault TEXT NOT NULL, minutes INTEGER NOT NULL, price INTEGER);
CREATE TABLE parts (part TEXT PRIMARY KEY, stock INTEGER NOT NULL, cost INTEGER NOT NULL);
CREATE TABLE used (repair INTEGER NOT NULL, part TEXT NOT NULL);
"""
NEEDS = {"slipping chain": "chain", "flat tyre": "tube", "weak brake": "pads", "broken spoke": "spoke"}


def fill(database: Database, task: Task, seed: int) -> None:
    database.insert("parts", task.data["parts"])
    database.insert("repairs", [{**task.data["repair"], "price": None}])


class BikeRepair(StatefulEnvironment):
    """Take the part from stock and set the price of the repair."""

    instructions = (
        "Work on the repair of the task. get_repair tells fault and minutes. Parts: slipping chain needs a chain, flat "
        "tyre a tube, weak brake pads, broken spoke a spoke. take_part takes it and tells its cost. The price is cost "
        "plus one per minute; set it with set_price and say ready. If the part is out of stock, leave the price and "
        "say waiting."
    )
    typical_turns = 4
    resources = {"shop": SqliteFile(SCHEMA, fill=fill, now="2023-05-01 08:00:00")}  # noqa: RUF012
    shop: SqliteDatabase

    def tasks(self, split):
        rng = random.Random("workshop/" + split)
        first = {"train": 10_000, "validation": 20_000, "test": 30_000}[split]
        for n in range({"train": 36, "validation": 12, "test": 12}[split]):
            parts = [
                {"part": part, "stock": rng.choice((0, 1, 4, 9)), "cost": rng.randrange(5, 60)}
                for part in sorted(NEEDS.values())
            ]
            repair = {"id": first + 17 * n, "fault": rng.choice(sorted(NEEDS)), "minutes": rng.randrange(10, 90)}
            data = {"parts": parts, "repair": repair}
            yield Task(id=f"repair-{repair['id']}", prompt=f"Repair {repair['id']} is next.", data=data, split=split)

    @tool
    def get_repair(self, repair: int) -> dict:
        """Return fault and minutes of a repair.

        Args:
            repair: Number of the repair.
        """
        rows = self.shop.rows("SELECT fault, minutes FROM repairs WHERE id = ?", [repair])
        if not rows:
            raise ToolError(f"no repair {repair}")
        return rows[0]

    @tool
    def take_part(self, repair: int, part: str) -> int:
        """Take a part from stock for a repair; returns what it costs.

        Args:
            repair: Number of the repair.
            part: chain, tube, pads or spoke.
        """
        self.get_repair(repair)
        if not self.shop.change("UPDATE parts SET stock = stock - 1 WHERE part = ? AND stock > 0", [part]):
            raise ToolError(f"{part} is out of stock")
        self.shop.insert("used", [{"repair": repair, "part": part}])
        return self.shop.rows("SELECT cost FROM parts WHERE part = ?", [part])[0]["cost"]

    @tool
    def set_price(self, repair: int, price: int) -> str:
        """Set the price of a repair.

        Args:
            repair: Number of the repair.
            price: In whole euros.
        """
        self.get_repair(repair)
        self.shop.change("UPDATE repairs SET price = ? WHERE id = ?", [price, repair])
        return "set"

    def reward(self, episode):
        repair, parts = episode.task.data["repair"], {p["part"]: p for p in episode.task.data["parts"]}
        part = parts[NEEDS[repair["fault"]]]
        state = self.state_of("shop")
        used, price = [row["part"] for row in state["used"]], state["repairs"][0]["price"]
        if not part["stock"]:
            return float(not used and price is None and episode.answer.strip() == "waiting")
        right = used == [part["part"]] and price == part["cost"] + repair["minutes"]
        return float(right and episode.answer.strip() == "ready")

    def oracle(self, task):
        number = int(task.prompt.split()[1])
        (found,) = yield call("get_repair", repair=number)
        repair = json.loads(found.content)
        (cost,) = yield call("take_part", repair=number, part=NEEDS[repair["fault"]])
        if not cost.content.isdigit():
            yield say("waiting")
            return
        yield call("set_price", repair=number, price=int(cost.content) + repair["minutes"])
        yield say("ready")
