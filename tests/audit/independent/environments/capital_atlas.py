"""An atlas of an invented continent: which town is the capital of a province?"""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

HEADS = ["Bel", "Cor", "Dun", "Esk", "Fal", "Gor", "Har", "Ist"]
TAILS = ["mouth", "wick", "holm", "gate", "stead"]


class CapitalAtlas(Environment):
    """Answer a traveller's question with the aid of the atlas."""

    instructions = (
        "Look the province up with atlas_page, which lists its towns with the number of inhabitants. The capital of a "
        "province is its second largest town. Answer with the name of the capital."
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("atlas, " + split)
        for page in range({"train": 36, "validation": 12, "test": 12}[split]):
            towns = rng.sample([h + t for h in HEADS for t in TAILS], 5)
            sizes = rng.sample(range(1000, 90_000), 5)
            people = dict(zip(towns, sizes, strict=True))
            capital = sorted(people, key=people.get)[-2]
            province = f"{rng.choice(HEADS)}land {split[:1].upper()}{page + 1}"
            prompt = f"Which town is the capital of {province}?"
            data = {"province": province, "people": people, "answer": capital}
            yield Task(id=f"{split}:{page}", prompt=prompt, data=data, split=split)

    @tool
    def atlas_page(self, province: str) -> dict[str, int]:
        """Return the towns of a province with their number of inhabitants.

        Args:
            province: Full name of the province.
        """
        if province != self.task.data["province"]:
            raise ToolError(f"the atlas has no page for {province!r}")
        return self.task.data["people"]

    def reward(self, episode):
        return 1.0 if episode.task.data["answer"].lower() in episode.answer.lower() else 0.0

    def oracle(self, task):
        yield call("atlas_page", province=task.data["province"])
        people = task.data["people"]
        yield say(sorted(people, key=people.get)[-2])
