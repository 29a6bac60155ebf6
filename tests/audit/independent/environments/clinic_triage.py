"""Triage notes of a walk-in clinic."""

import json
import random
import re

from turnwright.core.errors import ToolError
from turnwright.core.task import Task
from turnwright.environments import Environment, Script, call, say, tool

COLUMNS = ("patient", "age", "complaint", "arrived_by", "priority", "room")
COMPLAINTS = ("chest pain", "sprained ankle", "fever", "cough", "headache")


def _row(rng: random.Random, patient: str) -> dict:
    pulse, oxygen = rng.randrange(50, 150), rng.randrange(86, 100)
    priority = "red" if oxygen < 90 else "orange" if pulse > 115 else "yellow" if pulse > 95 else "green"
    return {
        "patient": patient,
        "age": rng.randrange(2, 95),
        "complaint": rng.choice(COMPLAINTS),
        "arrived_by": rng.choice(("foot", "car", "ambulance")),
        "priority": priority,
        "room": rng.choice(("1", "2", "3")),
        "pulse": pulse,
        "oxygen": oxygen,
    }


class ClinicTriage(Environment):
    """Take a patient's vital signs and set the triage colour."""

    instructions = """You are the triage nurse. Call vital_signs for the patient.
Oxygen below 90: red. Otherwise pulse above 115: orange, above 95: yellow, else green.
Reply with JSON only: {"triage": "<colour>"}"""
    typical_turns = 2

    def tasks(self, split):
        size = {"train": 36, "validation": 12, "test": 12}[split]
        rng = random.Random(f"triage-{split}")
        rows = [_row(rng, f"{split[:2].upper()}-{1000 + 7 * n}") for n in range(size)]
        return [
            Task(
                id=row["patient"],
                prompt="\n".join(f"{column}: {row[column]}" for column in COLUMNS),
                data={"row": row, "expected": {"triage": row["priority"]}},
                split=split,
            )
            for row in rows
        ]

    @tool
    def vital_signs(self, patient: str) -> dict[str, int]:
        """Measure a patient's pulse per minute and oxygen saturation in percent.

        Args:
            patient: The patient's number as on the sheet.
        """
        row = self.task.data["row"]
        if row["patient"] != patient:
            raise ToolError(f"patient {patient} is not in the waiting room")
        return {"pulse": row["pulse"], "oxygen": row["oxygen"]}

    def reward(self, episode):
        text = episode.answer.strip()
        if not re.fullmatch(r"\{.*\}", text, re.DOTALL):
            return 0.0
        try:
            given = json.loads(text)
        except ValueError:
            return 0.0
        return float(given == episode.task.data["expected"])

    def oracle(self, task: Task) -> Script:
        (measured,) = yield call("vital_signs", patient=task.id)
        signs = json.loads(measured.content)
        if signs["oxygen"] < 90:
            colour = "red"
        elif signs["pulse"] > 115:
            colour = "orange"
        else:
            colour = "yellow" if signs["pulse"] > 95 else "green"
        yield say(json.dumps({"triage": colour}))
