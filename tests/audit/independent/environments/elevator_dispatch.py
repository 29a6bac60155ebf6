"""Dispatch of elevators in an office tower."""

import json
import random

from turnwright import Environment, Task, call, say, tool


class ElevatorDispatch(Environment):
    """Send the elevator that gets there first."""

    typical_turns = 5
    instructions = (
        "Somebody waits on a floor. There are elevators 1, 2 and 3; status(elevator) gives the floor an elevator is "
        "on and its speed in floors per minute, eta(elevator, floor) the seconds it needs to a floor. Send the "
        "quickest: 'send N'."
    )

    def tasks(self, split):
        rng = random.Random("lift " + split)
        for n in range({"train": 36, "validation": 12, "test": 12}[split]):
            floors, speeds = rng.sample(range(40), 3), rng.sample(range(8, 40), 3)
            floor = rng.choice([f for f in range(40) if f not in floors])
            eta = [abs(f - floor) * 60 / s for f, s in zip(floors, speeds, strict=True)]
            data = {"floors": floors, "speeds": speeds, "floor": floor, "gold": eta.index(min(eta)) + 1}
            yield Task(id=f"{split}{n}", prompt=f"({split} hour {n}) Floor {floor} is calling.", data=data, split=split)

    @tool
    def status(self, elevator: int) -> dict[str, int]:
        """Return floor and speed of an elevator.

        Args:
            elevator: 1, 2 or 3.
        """
        return {"floor": self.task.data["floors"][elevator - 1], "speed": self.task.data["speeds"][elevator - 1]}

    @tool
    def eta(self, elevator: int, floor: int) -> float:
        """Return the seconds an elevator needs to a floor.

        Args:
            elevator: 1, 2 or 3.
            floor: 0 to 39.
        """
        distance = abs(self.task.data["floors"][elevator - 1] - floor)
        return round(60 * distance / self.task.data["speeds"][elevator - 1], 1)

    def reward(self, episode):
        return float(episode.answer.strip() == f"send {episode.task.data['gold']}")

    def oracle(self, task):
        seconds = []
        for elevator in (1, 2, 3):
            (found,) = yield call("status", elevator=elevator)
            status = json.loads(found.content)
            seconds.append(abs(status["floor"] - task.data["floor"]) / status["speed"])
        yield say(f"send {seconds.index(min(seconds)) + 1}")
