"""Clearance under a bridge, from recorded readings of tide gauges. The tasks were exported in another week."""

import json
import random

from turnwright import Task, ToolError, call, say
from turnwright.environments.recorded.environment import RecordedEnvironment

GAUGES = ["quay", "lock", "mole"]
HOURS = range(24)


def _levels(week):
    rng = random.Random(f"tide week {week}")
    return {f"{gauge}/{hour}": rng.randrange(20, 420, 5) for gauge in GAUGES for hour in HOURS}


RECORDED = _levels(31)
EXPORTED = {**RECORDED, **{key: level for key, level in _levels(32).items() if key.startswith("mole/1")}}
CLEARANCE = 600


def read_gauge(gauge: str, hour: int) -> dict[str, int]:
    """Return the water level at a gauge in centimetres.

    Args:
        gauge: quay, lock or mole.
        hour: Full hour, 0 to 23.
    """
    if f"{gauge}/{hour}" not in RECORDED:
        raise ToolError(f"no reading of {gauge} at {hour}")
    return {"level_cm": RECORDED[f"{gauge}/{hour}"]}


LIVE = [read_gauge]
CALLS = [("read_gauge", {"gauge": gauge, "hour": hour}) for gauge in [*GAUGES, "pier"] for hour in HOURS]


class TideGauge(RecordedEnvironment):
    """How high may a mast be to pass the bridge at a gauge?"""

    recordings = "recordings/tide_gauge.jsonl"
    on_missing = "tell"
    instructions = (
        "The bridge hangs 600 cm above level 0. Read the gauge of the task at its hour; what is left is the clearance. "
        'Answer with <final_output>{"clearance_cm": N}</final_output>.'
    )
    typical_turns = 2

    def tasks(self, split):
        keys = sorted(EXPORTED)
        random.Random("tide tasks").shuffle(keys)
        start, end = {"train": (0, 44), "validation": (44, 58), "test": (58, 72)}[split]
        for key in keys[start:end]:
            gauge, hour = key.split("/")
            gold = {"clearance_cm": CLEARANCE - EXPORTED[key]}
            prompt = f"May we pass at the {gauge} at {hour} o'clock, and how high?"
            yield Task(id=key, prompt=prompt, data={"gold": gold}, split=split)

    def reward(self, episode):
        gold = json.dumps(episode.task.data["gold"])
        return float(episode.answer.strip() == f"<final_output>{gold}</final_output>")

    def oracle(self, task):
        gauge, hour = task.id.split("/")
        (reading,) = yield call("read_gauge", gauge=gauge, hour=int(hour))
        clearance = CLEARANCE - json.loads(reading.content)["level_cm"]
        yield say(f'<final_output>{{"clearance_cm": {clearance}}}</final_output>')
