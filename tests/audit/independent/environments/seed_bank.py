"""A seed bank lends lots of seeds; stock and loans live in a database."""

import json
import random

from turnwright import Episode, Script, Task, ToolError, call, say, tool
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.sqlite import SqliteDatabase, SqliteFile
from turnwright.environments.stateful import StatefulEnvironment

SPECIES = ("barley", "einkorn", "lentil", "flax")
SCHEMA = """
CREATE TABLE lots (
  lot INTEGER PRIMARY KEY, species TEXT NOT NULL, germination INTEGER NOT NULL, grams INTEGER NOT NULL
);
CREATE TABLE loans (lot INTEGER NOT NULL REFERENCES lots (lot), grams INTEGER NOT NULL, made TEXT NOT NULL);
"""


def fill(database: Database, task: Task, seed: int) -> None:
    database.insert("lots", task.data["lots"])


class SeedBank(StatefulEnvironment):
    """Lend the lot that germinates best among those that suffice."""

    instructions = (
        "A grower asks for grams of a species. find_lots lists its lots. Of those that hold at least the grams asked "
        "for, lend the one with the highest germination, exactly the grams asked for, with lend; then say: lent LOT. "
        "If no lot suffices, lend nothing and say: none."
    )
    typical_turns = 3
    resources = {"db": SqliteFile(SCHEMA, fill=fill)}  # noqa: RUF012
    db: SqliteDatabase

    def tasks(self, split):
        rng = random.Random(f"seeds of {split}")
        tasks = []
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            species, grams = rng.choice(SPECIES), rng.randrange(50, 400)
            numbers, quality = rng.sample(range(1000, 9999), 5), rng.sample(range(40, 100), 5)
            lots = [
                {
                    "lot": number,
                    "species": species if i < 4 else rng.choice(SPECIES),
                    "germination": germination,
                    "grams": rng.randrange(20, 500),
                }
                for i, (number, germination) in enumerate(zip(numbers, quality, strict=True))
            ]
            prompt = f"Grower {split[:3]}-{rng.randrange(10**4)}: {grams} g of {species}, please."
            data = {"lots": lots, "species": species, "grams": grams}
            tasks.append(Task(id=f"{split}-{n}", prompt=prompt, data=data, split=split))
        return tasks

    @tool
    def find_lots(self, species: str) -> list[dict]:
        """List the lots of a species with germination in percent and grams in stock.

        Args:
            species: barley, einkorn, lentil or flax.
        """
        return self.db.rows(
            "SELECT lot, germination, grams FROM lots WHERE species = ? ORDER BY lot", [species.strip().lower()]
        )

    @tool
    def lend(self, lot: int, grams: int) -> str:
        """Lend grams of a lot.

        Args:
            lot: Number of the lot.
            grams: How much.
        """
        if grams <= 0:
            raise ToolError("grams must be positive")
        if not self.db.change("UPDATE lots SET grams = grams - ? WHERE lot = ? AND grams >= ?", [grams, lot, grams]):
            raise ToolError(f"lot {lot} does not hold {grams} g")
        self.db.change("INSERT INTO loans VALUES (?, ?, CURRENT_TIMESTAMP)", [lot, grams])
        return "lent"

    def reward(self, episode: Episode) -> float:
        data = episode.task.data
        best = best_lot(data["lots"], data["species"], data["grams"])
        made = [(loan["lot"], loan["grams"]) for loan in self.state_of("db")["loans"]]
        expected, words = ([], "none") if best is None else ([(best, data["grams"])], f"lent {best}")
        return float(made == expected and episode.answer.strip(" .") == words)

    def oracle(self, task: Task) -> Script:
        _, request = task.prompt.split(": ")
        grams, species = int(request.split()[0]), request.split(" of ")[1].split(",")[0]
        (found,) = yield call("find_lots", species=species)
        lot = best_lot([{**lot, "species": species} for lot in json.loads(found.content)], species, grams)
        if lot is None:
            yield say("none")
            return
        yield call("lend", lot=lot, grams=grams)
        yield say(f"lent {lot}")


def best_lot(lots, species, grams):
    fitting = [lot for lot in lots if lot["species"] == species and lot["grams"] >= grams]
    return max(fitting, key=lambda lot: lot["germination"])["lot"] if fitting else None
