"""A school laboratory's reagents."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

ANSWER = re.compile(r"<cabinet>(.*?)</cabinet>")
CABINETS = ("acids", "bases", "oxidisers", "solvents")
NUMBERS = {"train": range(20), "validation": range(20, 30), "test": range(30, 40)}


class ReagentShelf(Environment):
    """Put a bottle in the right cabinet."""

    instructions = (
        "Call read_label. Class 8a goes to acids, 8b to bases, 5 to oxidisers, 3 to solvents. You may think first; "
        "then answer with the cabinet: <cabinet>acids</cabinet>"
    )
    typical_turns = 2

    def tasks(self, split):
        """Return one bottle per task."""
        return [self.bottle(split, number) for number in NUMBERS[split]]

    def bottle(self, split, number):
        """Draw a bottle."""
        cabinet = random.Random(f"reagent{number}").choice(CABINETS)
        data = {"bottle": f"R-{number + 70}", "cabinet": cabinet}
        return Task(id=data["bottle"], prompt=f"Where does bottle {data['bottle']} go?", data=data, split=split)

    @tool
    def read_label(self, bottle: str) -> dict[str, str]:
        """Return the class on the label of a bottle.

        Args:
            bottle: Such as R-12.
        """
        if bottle != self.task.data["bottle"]:
            raise ToolError(f"no bottle {bottle} here")
        return {"class": dict(zip(CABINETS, ("8a", "8b", "5", "3"), strict=True))[self.task.data["cabinet"]]}

    def reward(self, episode):
        """Return 1 when the first cabinet named is the right one."""
        named = ANSWER.search(episode.answer)
        return float(named is not None and named[1].strip() == episode.task.data["cabinet"])

    def oracle(self, task):
        """Read, then place."""
        (label,) = yield call("read_label", bottle=task.prompt.split()[3])
        cabinet = dict(zip(("8a", "8b", "5", "3"), CABINETS, strict=True))[json.loads(label.content)["class"]]
        yield say(f"<cabinet>{cabinet}</cabinet>")
