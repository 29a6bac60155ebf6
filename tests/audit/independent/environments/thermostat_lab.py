"""A heated plate that drifts: hold its temperature for six turns. Rewarded turn by turn."""

import re

from turnwright import Environment, Episode, Script, Task, ToolError, TurnRewards, call, say, tool
from turnwright.core.seeding import generator

TURNS = 6
TEMPERATURE = re.compile(r"plate at (-?\d+)")


class ThermostatLab(Environment):
    """Add or take heat, once per turn, so that the plate comes to the set point and stays there."""

    instructions = (
        f"Call heat once per reply, {TURNS} times. It changes the plate's temperature by as many degrees as you say "
        "(-60 to 60), then the plate drifts by up to 3 degrees and its temperature is returned. Begin with heat(0) "
        "to read it. Then say off."
    )
    typical_turns = 7
    max_turns = 9

    def tasks(self, split):
        shift = {"train": 0, "validation": 500, "test": 900}[split]
        for index in range(shift, shift + (36 if split == "train" else 12)):
            chance = generator("thermostat", index)
            data = {"start": chance.randint(10, 35), "goal": chance.randint(40, 60)}
            prompt = f"Plate {index}: bring it to {data['goal']} degrees."
            yield Task(id=f"plate-{index}", prompt=prompt, data=data, split=split)

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        self._chance = generator("thermostat drift", seed)
        self._temperature: int = task.data["start"]
        self._history: list[int] = []

    @tool
    def heat(self, degrees: int) -> str:
        """Change the temperature of the plate, and read it.

        Args:
            degrees: -60 to 60.
        """
        if not -60 <= degrees <= 60:
            raise ToolError("degrees must be between -60 and 60")
        if len(self._history) == TURNS:
            raise ToolError("the run is over, say off")
        self._temperature += degrees + self._chance.randint(-3, 3)
        self._history.append(self._temperature)
        return f"plate at {self._temperature} degrees"

    def reward(self, episode: Episode) -> TurnRewards:
        near = [float(abs(t - self.task.data["goal"]) <= 3) for t in self._history]
        finished = len(near) == TURNS and sum(near) >= TURNS - 1 and len(episode.turns) == TURNS + 1
        return TurnRewards(values=(0.0,) * (len(episode.turns) - 1) + (float(finished),) if episode.turns else ())

    def oracle(self, task: Task) -> Script:
        goal = int(task.prompt.split(" to ")[1].split()[0])
        change = 0
        for _ in range(TURNS):
            (told,) = yield call("heat", degrees=change)
            temperature = int(TEMPERATURE.search(told.content).group(1))
            change = goal - temperature
        yield say("off")
