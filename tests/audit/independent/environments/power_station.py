"""Meter readings of power stations and gadgets: normalise the unit."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

UNITS = {"mW": -3, "W": 0, "kW": 3, "MW": 6}


def same(given, expected):
    """Compare as people write: spaces and case do not matter."""
    return given.replace(" ", "").lower() == expected.replace(" ", "").lower()


class PowerStation(Environment):
    """Read a meter and state the power in the unit that gives a number from 1 to 999."""

    instructions = (
        "read_meter(device) returns a number and a power of ten in watts. State it in mW, W, kW or MW such that the "
        "number is from 1 to 999. Case matters: 1 mW is a thousandth of a watt. Answer: <power>NUMBER UNIT</power>"
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random(f"meters of {split}")
        for n in range({"train": 44, "validation": 14, "test": 14}[split]):
            unit, number = rng.choice([*UNITS]), rng.randrange(1, 100)
            device = f"{split[:2]}-{rng.choice(['pump', 'watch', 'turbine', 'lamp'])}-{rng.randrange(1000, 9999)}"
            gold = f"<power>{number} {unit}</power>"
            data = {"device": device, "reading": {"number": number, "exponent": UNITS[unit]}, "answer": gold}
            yield Task(id=f"{split}-{n}", prompt=f"What does {device} draw?", data=data, split=split)

    @tool
    def read_meter(self, device: str) -> dict[str, int]:
        """Return what a meter shows: a number, and the power of ten of watts that it counts.

        Args:
            device: Name of the device.
        """
        if device != self.task.data["device"]:
            raise ToolError(f"no meter at {device}")
        return self.task.data["reading"]

    def reward(self, episode):
        return float(same(episode.answer, episode.task.data["answer"]))

    def oracle(self, task):
        (reading,) = yield call("read_meter", device=task.prompt.split()[2])
        number, exponent = (int(part.split(":")[1]) for part in reading.content.strip("{}").split(","))
        unit = next(unit for unit, power in UNITS.items() if power == exponent)
        yield say(f"<power>{number} {unit}</power>")
