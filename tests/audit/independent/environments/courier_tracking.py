"""Courier support: where is my parcel, and shall we open an investigation?"""

import json
import uuid
from random import Random

from turnwright.core.errors import ToolError
from turnwright.core.task import Task
from turnwright.environments import Environment, call, say, tool

STOPS = ("depot", "truck", "locker", "customs")


class CourierTracking(Environment):
    """Open an investigation for parcels that have not moved for five days; otherwise reassure."""

    instructions = """Support chat of a courier service.
Use track(parcel). If it has not moved for five days or more, call investigate(parcel) and reply with exactly
"investigating". Otherwise reply with the stop it is at, one word."""
    typical_turns = 3

    def tasks(self, split):
        out = []
        rng = Random(sum(map(ord, split)))
        for k in range(50 if split == "train" else 15):
            days, stop = rng.randrange(0, 10), rng.choice(STOPS)
            parcel = f"{split[:2].upper()}{rng.randrange(10**7, 10**8)}"
            gold = "investigating" if days >= 5 else stop
            data = {"days": days, "stop": stop, "parcel": parcel, "gold": gold}
            out.append(Task(id=f"{split}{k}", prompt=f"Hello, where is {parcel}?", data=data, split=split))
        return out

    def open(self, task, seed):
        super().open(task, seed)
        self.cases = {}

    @tool
    def track(self, parcel: str) -> dict:
        """Return a parcel's last stop and the days since it moved.

        Args:
            parcel: Tracking number.
        """
        self._known(parcel)
        return {"stop": self.task.data["stop"], "days_without_scan": self.task.data["days"]}

    @tool
    def investigate(self, parcel: str) -> str:
        """Open an investigation; returns its reference.

        Args:
            parcel: Tracking number.
        """
        self._known(parcel)
        reference = f"INV-{uuid.uuid4().hex[:8]}"
        self.cases[parcel] = reference
        return f"opened {reference}"

    def _known(self, parcel):
        if parcel != self.task.data["parcel"]:
            raise ToolError("this tracking number does not exist")

    def reward(self, episode):
        data = episode.task.data
        right_case = (data["parcel"] in self.cases) == (data["gold"] == "investigating")
        return float(right_case and episode.answer.strip() == data["gold"])

    def oracle(self, task):
        parcel = task.prompt.split()[-1].rstrip("?")
        (tracked,) = yield call("track", parcel=parcel)
        found = json.loads(tracked.content)
        if found["days_without_scan"] < 5:
            yield say(found["stop"])
            return
        yield call("investigate", parcel=parcel)
        yield say("investigating")
