"""Finds the first free slot that two calendars have in common."""

import json
import random
from datetime import UTC, datetime

from turnwright import Environment, Task, ToolError, call, say, tool

HOURS = range(8, 18)


class MeetingScheduler(Environment):
    """Propose the first hour at which both people are free."""

    instructions = (
        "Two people want to meet. busy_hours returns the hours at which a person is busy, between 8 and 17. Propose "
        'the first hour at which both are free, as {"hour": N}.'
    )
    typical_turns = 3

    def tasks(self, split):
        names = {"train": "Ana Ben Cleo Dov Eda", "validation": "Fay Gus Hal Ines", "test": "Jon Kim Lea Max"}[split]
        rng = random.Random(names)
        for i in range(36 if split == "train" else 12):
            one, other = rng.sample(names.split(), 2)
            busy = {name: sorted(rng.sample(HOURS, rng.randrange(3, 6))) for name in (one, other)}
            # At least the last hour is free for everybody.
            busy = {name: [hour for hour in hours if hour != 17] for name, hours in busy.items()}
            free = next(hour for hour in HOURS if all(hour not in hours for hours in busy.values()))
            prompt = f"Request {i}: a meeting of {one} and {other} about {rng.choice(['budget', 'hiring', 'plans'])}"
            yield Task(id=f"{split}-{i}", prompt=prompt, data={"busy": busy, "expected": {"hour": free}}, split=split)

    @tool
    def busy_hours(self, person: str) -> dict:
        """Return the hours at which a person is busy.

        Args:
            person: First name.
        """
        if person not in self.task.data["busy"]:
            raise ToolError(f"{person} shares no calendar")
        retrieved = datetime.now(UTC).isoformat(timespec="seconds")
        return {"person": person, "busy": self.task.data["busy"][person], "retrieved": retrieved}

    def reward(self, episode):
        try:
            return float(json.loads(episode.answer) == episode.task.data["expected"])
        except ValueError:
            return 0.0

    def oracle(self, task):
        words = task.prompt.split()
        busy = set()
        for person in (words[words.index("of") + 1], words[words.index("and") + 1]):
            (calendar,) = yield call("busy_hours", person=person)
            busy.update(json.loads(calendar.content)["busy"])
        yield say(json.dumps({"hour": next(hour for hour in HOURS if hour not in busy)}))
