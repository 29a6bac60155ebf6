"""Intake of patients at a dentist's."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

ROOMS = ("blue", "green", "amber", "white")
PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}


class PatientIntake(Environment):
    """Send a patient to the right room."""

    instructions = (
        "Call find_patient for the treatment, then room_of the treatment. Answer with the colour of the room alone."
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one patient per task, each with the plan of the day."""
        return [self.patient(split, number) for number in range(*PARTS[split])]

    def patient(self, split, number):
        """Draw a patient and a plan of rooms."""
        chance = random.Random(f"patient {number}")
        plan = dict(zip(("cleaning", "filling", "check", "surgery"), chance.sample(ROOMS, 4), strict=True))
        treatment = chance.choice(sorted(plan))
        data = {"patients": {f"P{number + 81}": treatment}, "plan": plan, "room": plan[treatment]}
        return Task(id=f"p{number}", prompt=f"Patient P{number + 81} is here.", data=data, split=split)

    @tool
    def find_patient(self, patient: str) -> dict[str, str]:
        """Return what a patient comes for.

        Args:
            patient: Number of the patient, such as P5.
        """
        return {"treatment": self.task.data["patients"][patient]}

    @tool
    def room_of(self, treatment: str) -> dict[str, str]:
        """Return the room of a treatment on this day.

        Args:
            treatment: Name of the treatment.
        """
        if treatment not in self.task.data["plan"]:
            raise ToolError(f"no treatment {treatment}")
        return {"room": self.task.data["plan"][treatment]}

    def reward(self, episode):
        """Return 1 for the right room."""
        return float(episode.answer.strip() == episode.task.data["room"])

    def oracle(self, task):
        """Two look-ups."""
        (found,) = yield call("find_patient", patient=task.prompt.split()[1])
        (room,) = yield call("room_of", treatment=json.loads(found.content)["treatment"])
        yield say(json.loads(room.content)["room"])
