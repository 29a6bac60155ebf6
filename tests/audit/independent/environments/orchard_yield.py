"""Forecast of an orchard's harvest."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

FRUIT = ("apple", "pear", "plum")


def read_answer(text):
    """The object in the one answer block of a reply."""
    blocks = re.findall(r"<final_output>(.*?)</final_output>", text, re.DOTALL)
    try:
        given = json.loads(blocks[0]) if len(blocks) == 1 else None
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


def forecast(plot):
    kilos = plot["trees"] * plot["kilos_per_tree"]
    if plot["frost_nights"] > 3:
        kilos //= 2
    grade = "juice" if plot["scab"] else "table" if kilos < 4000 else "export"
    return {"kilos": kilos, "grade": grade}


class OrchardYield(Environment):
    """Forecast kilos and grade of a plot."""

    instructions = (
        "Forecast the harvest of the plot. get_plot: trees, kilos per tree, scab. get_frost: frost nights. Kilos = "
        "trees x kilos per tree, halved (rounded down) after more than 3 frost nights. With scab the grade is juice; "
        "otherwise table below 4000 kilos and export from there.\n"
        'Answer: <final_output>{"kilos": N, "grade": "WORD"}</final_output>'
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random("orchard." + split)
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            plot = {
                "trees": rng.randrange(40, 300),
                "kilos_per_tree": rng.randrange(10, 45),
                "frost_nights": rng.randrange(0, 8),
                "scab": rng.random() < 0.35,
            }
            name = f"{rng.choice(FRUIT)}-{rng.randrange(100, 1000)}{split[0]}{n}"
            data = {"name": name, "plot": plot, "gold": forecast(plot)}
            yield Task(id=f"{split}-{n}", prompt=f"Plot {name}, owner {rng.randrange(10, 99)}", data=data, split=split)

    @tool
    def get_plot(self, plot: str) -> dict[str, object]:
        """Return trees, kilos per tree and scab of a plot.

        Args:
            plot: Name of the plot.
        """
        return {key: value for key, value in self._plot(plot).items() if key != "frost_nights"}

    @tool
    def get_frost(self, plot: str) -> int:
        """Return the number of frost nights of a plot.

        Args:
            plot: Name of the plot.
        """
        return self._plot(plot)["frost_nights"]

    def _plot(self, plot):
        if plot != self.task.data["name"]:
            raise ToolError(f"no plot {plot}")
        return self.task.data["plot"]

    def reward(self, episode):
        if not episode.turns or episode.turns[-1].reply.tool_calls:
            return 0.0
        given, gold = read_answer(episode.answer.split("</think>")[-1]), episode.task.data["gold"]
        return float(given == gold)

    def oracle(self, task):
        name = task.prompt.removeprefix("Plot ").split(",")[0]
        (plot,) = yield call("get_plot", plot=name)
        (frost,) = yield call("get_frost", plot=name)
        answer = forecast({**json.loads(plot.content), "frost_nights": int(frost.content)})
        yield say(f"<final_output>{json.dumps(answer)}</final_output>")
