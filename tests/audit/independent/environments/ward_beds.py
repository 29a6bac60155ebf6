"""Bed management of a hospital on SQLite."""

import json
import random

from turnwright import Task, ToolError, call, say, tool
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.sqlite import SqliteDatabase, SqliteFile
from turnwright.environments.stateful import StatefulEnvironment

SCHEMA = """
CREATE TABLE wards (name TEXT PRIMARY KEY, beds INTEGER NOT NULL, isolation INTEGER NOT NULL);
CREATE TABLE patients (id INTEGER PRIMARY KEY, infectious INTEGER NOT NULL, ward TEXT, target_ward TEXT NOT NULL);
"""


def fill(database: Database, task: Task, seed: int) -> None:
    database.insert("wards", task.data["wards"])
    database.insert("patients", [task.data["patient"]])


class WardBeds(StatefulEnvironment):
    """Move a patient to the right ward."""

    instructions = """Place the patient of the task.
get_patient tells whether the patient is infectious, get_wards the wards with free beds and whether they isolate.
Infectious patients go to the isolating ward with most free beds, all others to the ward with most free beds that does
not isolate. Call move_patient, then say placed."""
    typical_turns = 4
    resources = {"db": SqliteFile(SCHEMA, fill=fill)}  # noqa: RUF012
    db: SqliteDatabase

    def tasks(self, split):
        rng = random.Random("wards-" + split)
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            beds = rng.sample(range(20), 4)
            wards = [
                {"name": name, "beds": free, "isolation": int(i < 2)}
                for i, (name, free) in enumerate(zip(rng.sample(["elm", "fir", "ash", "yew"], 4), beds, strict=True))
            ]
            infectious = rng.randrange(2)
            target = max((w for w in wards if w["isolation"] == infectious), key=lambda w: w["beds"])["name"]
            patient = {"id": rng.randrange(10**4, 10**5), "infectious": infectious, "ward": None, "target_ward": target}
            data = {"wards": wards, "patient": patient}
            yield Task(id=f"{split}-{n}", prompt=f"Place patient {patient['id']}.", data=data, split=split)

    @tool
    def get_patient(self, patient: int) -> dict:
        """Return a patient.

        Args:
            patient: Number of the patient.
        """
        rows = self.db.rows("SELECT * FROM patients WHERE id = ?", [patient])
        if not rows:
            raise ToolError(f"no patient {patient}")
        return rows[0]

    @tool
    def get_wards(self) -> list[dict]:
        """Return all wards with their free beds; isolation is 1 for wards that isolate."""
        return self.db.rows("SELECT name, beds, isolation FROM wards ORDER BY name")

    @tool
    def move_patient(self, patient: int, ward: str) -> str:
        """Move a patient to a ward.

        Args:
            patient: Number of the patient.
            ward: Name of the ward.
        """
        if not self.db.rows("SELECT 1 FROM wards WHERE name = ? AND beds > 0", [ward]):
            raise ToolError(f"no free bed in ward {ward}")
        if not self.db.change("UPDATE patients SET ward = ? WHERE id = ?", [ward, patient]):
            raise ToolError(f"no patient {patient}")
        self.db.change("UPDATE wards SET beds = beds - 1 WHERE name = ?", [ward])
        return "moved"

    def reward(self, episode):
        (row,) = self.state_of("db")["patients"]
        return float(row["ward"] == row["target_ward"])

    def oracle(self, task):
        number = int(task.prompt.split()[-1].rstrip("."))
        (patient,) = yield call("get_patient", patient=number)
        (wards,) = yield call("get_wards")
        infectious = json.loads(patient.content)["infectious"]
        fitting = [ward for ward in json.loads(wards.content) if ward["isolation"] == infectious]
        yield call("move_patient", patient=number, ward=max(fitting, key=lambda ward: ward["beds"])["name"])
        yield say("placed")
