"""Slope of a hiking path between two markers, with a tolerance for rounding."""

import json
import math
import random
import tempfile

from turnwright import Environment, Task, ToolError, call, say, tool


class RouteSurveyor(Environment):
    """Compute the mean slope between two markers in percent, to one decimal."""

    instructions = (
        "marker(name) gives x, y and height of a marker in metres. The slope between two markers is the difference in "
        "height over the horizontal distance, in percent, never negative. Answer: slope P% (one decimal)."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(f"path-{split}")
        for n in range({"train": 40, "validation": 10, "test": 10}[split]):
            names = [f"{letter}{rng.randrange(10, 100)}" for letter in rng.sample("PQRSTUVW", 3)]
            markers = {name: [rng.randrange(2000), rng.randrange(2000), rng.randrange(300, 900)] for name in names}
            gold = slope(markers[names[0]], markers[names[1]])
            prompt = f"Path {n} ({split} sheet): from {names[0]} to {names[1]}"
            yield Task(id=f"{split}/path/{n}", prompt=prompt, data={"markers": markers, "answer": gold}, split=split)

    @tool
    def marker(self, name: str) -> dict[str, int]:
        """Return x, y and height of a marker.

        Args:
            name: A letter and two digits.
        """
        if name not in self.task.data["markers"]:
            raise ToolError(f"there is no marker {name}")
        # The survey library only reads files; this one is gone when the block ends.
        with tempfile.NamedTemporaryFile("w+", suffix=".json") as sheet:
            json.dump(dict(zip(("x", "y", "height"), self.task.data["markers"][name], strict=True)), sheet)
            sheet.seek(0)
            return json.load(sheet)

    def reward(self, episode):
        text = episode.answer.strip()
        if not (text.startswith("slope ") and text.endswith("%")):
            return 0.0
        try:
            given = float(text[6:-1])
        except ValueError:
            return 0.0
        return float(abs(given - episode.task.data["answer"]) <= 0.051)

    def oracle(self, task):
        names = task.prompt.split(": from ")[1].split(" to ")
        points = []
        for name in names:
            (found,) = yield call("marker", name=name)
            points.append(list(json.loads(found.content).values()))
        yield say(f"slope {slope(*points)}%")


def slope(one, other):
    return round(100 * abs(one[2] - other[2]) / math.dist(one[:2], other[:2]), 1)
