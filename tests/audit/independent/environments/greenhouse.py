"""Climate of a greenhouse: a few actuators and a journal of what was done."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool


class Greenhouse(Environment):
    """Open the vents by the right amount and quote the number of the journal's entry."""

    instructions = (
        "read_temperature, then open the vents by 10 percent per degree above 22 with set_vents (0 to 100). It answers "
        "with a journal entry; finish with 'entry N, vents P%'."
    )
    typical_turns = 3

    def __init__(self, vents: int = 4) -> None:
        self.vents = vents
        self.journal: list[str] = []

    def tasks(self, split):
        rng = random.Random(len(split) * 77)
        bay = {"train": 0, "validation": 200, "test": 400}[split]
        for n in range({"train": 40, "validation": 10, "test": 10}[split]):
            temperature = rng.randrange(18, 36)
            opening = min(100, max(0, (temperature - 22) * 10))
            data = {"temperature": temperature, "gold": f"entry 1, vents {opening}%"}
            yield Task(id=f"bay-{bay + n}", prompt=f"Please look after bay {bay + n}.", data=data, split=split)

    @tool
    def read_temperature(self) -> int:
        """Return the temperature of the bay in degrees."""
        return self.task.data["temperature"]

    @tool
    def set_vents(self, percent: int) -> str:
        """Open the vents.

        Args:
            percent: 0 = closed, 100 = wide open.
        """
        if not 0 <= percent <= 100:
            raise ToolError("percent must be between 0 and 100")
        self.journal.append(f"{self.vents} vents at {percent}%")
        return f"entry {len(self.journal)}"

    def reward(self, episode):
        told = episode.answer.strip().removeprefix("entry ").partition(", ")[2]
        return float(told == episode.task.data["gold"].partition(", ")[2] and bool(self.journal))

    def oracle(self, task):
        (temperature,) = yield call("read_temperature")
        opening = min(100, max(0, (int(temperature.content) - 22) * 10))
        (entry,) = yield call("set_vents", percent=opening)
        yield say(f"{entry.content}, vents {opening}%")
