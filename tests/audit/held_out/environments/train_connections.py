"""Connections of a small railway."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

STOPS = ("Aldo", "Birk", "Cove", "Dunn", "Elm", "Fyr", "Gale", "Hope", "Inn", "Jura")
OFFSET = {"train": (0, 21), "validation": (21, 30), "test": (30, 42)}


def line(number):
    """Return the stops of a line and the minutes between them."""
    chance = random.Random(f"line {number}")
    stops = chance.sample(STOPS, 6)
    return stops, [chance.randint(3, 19) for _ in stops[1:]]


class TrainConnections(Environment):
    """Tell how long a train takes from one stop to another."""

    instructions = (
        "Call get_line for the line's stops, and leg for the minutes from one stop to the next one. Answer with the "
        "minutes from the first to the second stop asked for, as a number."
    )
    typical_turns = 4

    def tasks(self, split):
        """Return one journey per line."""
        return [self.journey(split, number) for number in range(*OFFSET[split])]

    def journey(self, split, number):
        """Choose two stops that are two legs apart."""
        stops, minutes = line(number)
        begin = random.Random(f"journey {number}").randrange(4)
        prompt = f"Line {number + 11}: from {stops[begin]} to {stops[begin + 2]}?"
        data = {"line": number + 11, "minutes": minutes[begin] + minutes[begin + 1]}
        return Task(id=f"j{number}", prompt=prompt, data=data, split=split)

    @tool
    def get_line(self, line: int) -> list[str]:
        """Return the stops of a line in order.

        Args:
            line: Number of the line.
        """
        return self._line(line)[0]

    @tool
    def leg(self, line: int, start: str) -> dict[str, int]:
        """Return the minutes from a stop to the next one of a line.

        Args:
            line: Number of the line.
            start: Name of the stop where the leg starts.
        """
        stops, minutes = self._line(line)
        if start not in stops[:-1]:
            raise ToolError(f"no leg of line {line} starts at {start}")
        return {"minutes": minutes[stops.index(start)]}

    def _line(self, number):
        if number != self.task.data["line"] or number % 5 == 0:
            raise ToolError(f"no line {number}")
        return line(number - 11)

    def reward(self, episode):
        """Return 1 for the right minutes."""
        return float(episode.answer.strip() == str(episode.task.data["minutes"]))

    def oracle(self, task):
        """Ask for both legs and add them."""
        number = int(task.prompt.split()[1].rstrip(":"))
        start = task.prompt.split("from ")[1].split(" to ")[0]
        (found,) = yield call("get_line", line=number)
        stops = json.loads(found.content)
        if "error" in stops:
            yield say("There is no such line.")
            return
        (one,) = yield call("leg", line=number, start=start)
        (two,) = yield call("leg", line=number, start=stops[stops.index(start) + 1])
        yield say(str(json.loads(one.content)["minutes"] + json.loads(two.content)["minutes"]))
