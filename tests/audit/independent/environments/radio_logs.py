"""Radio logs of a coast guard: several questions per incident."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

VESSELS = ["Mira", "Tern", "Otter", "Gannet", "Plover"]
QUESTIONS = {"vessel": "Which vessel called?", "persons": "How many persons were on board?", "harbour": "Towed where?"}


def incident(number):
    rng = random.Random(f"incident {number}")
    return {
        "vessel": rng.choice(VESSELS),
        "persons": str(rng.randrange(1, 12)),
        "harbour": rng.choice(["Skag", "Lund", "Vik", "Nes"]),
    }


class RadioLogs(Environment):
    """Answer a question about an incident from its radio log."""

    instructions = "Read the log of the incident with radio_log and answer the question in one word or number."
    typical_turns = 2

    def tasks(self, split):
        rows = [(number, what) for number in range(30) for what in QUESTIONS]
        random.Random("shuffle").shuffle(rows)
        start, end = {"train": (0, 54), "validation": (54, 72), "test": (72, 90)}[split]
        for number, what in rows[start:end]:
            yield Task(
                id=f"{number}-{what}",
                prompt=f"Incident {500 + number}. {QUESTIONS[what]}",
                data={"number": 500 + number, "log": incident(number), "gold": incident(number)[what], "what": what},
                split=split,
                cluster=f"incident-{number}",
            )

    @tool
    def radio_log(self, incident: int) -> dict[str, str]:
        """Return the radio log of an incident.

        Args:
            incident: Number of the incident.
        """
        if incident != self.task.data["number"]:
            raise ToolError(f"no log of incident {incident}")
        return self.task.data["log"]

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (log,) = yield call("radio_log", incident=task.data["number"])
        yield say(json.loads(log.content)[task.data["what"]])
