"""A museum guide answers which hall an exhibit stands in and which exhibits share it."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

HALLS = ["amber", "birch", "cedar", "dune", "ember"]
EXHIBITS = [
    "astrolabe", "bust", "coin hoard", "drum", "ewer", "fan", "gong", "harp", "idol", "jar", "kite", "loom", "mask",
    "net", "oar",
]  # fmt: skip


class MuseumGuide(Environment):
    """Tell a visitor in which hall an exhibit stands."""

    instructions = (
        "Visitors ask for an exhibit. list_hall tells what stands in a hall. The halls are amber, birch, cedar, dune "
        "and ember. Reply with: It is in the HALL hall."
    )
    typical_turns = 5

    def tasks(self, split):
        rng = random.Random(f"museum@{split}")
        for visitor in range({"train": 30, "validation": 10, "test": 10}[split]):
            where = {exhibit: rng.choice(HALLS) for exhibit in EXHIBITS}
            wanted = rng.choice(EXHIBITS)
            yield Task(
                id=f"{split}-visitor-{visitor}",
                prompt=f"Visitor {visitor} ({split} season): where do I find the {wanted}?",
                data={"where": where, "wanted": wanted, "gold": where[wanted]},
                split=split,
            )

    def open(self, task, seed):
        super().open(task, seed)
        self.halls = {hall: {e for e, h in task.data["where"].items() if h == hall} for hall in HALLS}

    @tool
    def list_hall(self, hall: str) -> str:
        """List the exhibits of a hall.

        Args:
            hall: Name of the hall, in lower case.
        """
        if hall not in self.halls:
            raise ToolError(f"no hall {hall}; halls: {', '.join(HALLS)}")
        return ", ".join(self.halls[hall]) or "nothing"

    def reward(self, episode):
        return float(episode.answer.strip() == f"It is in the {episode.task.data['gold']} hall.")

    def oracle(self, task):
        for hall in HALLS:
            (shown,) = yield call("list_hall", hall=hall)
            if task.data["wanted"] in shown.content.split(", "):
                yield say(f"It is in the {hall} hall.")
                return
