"""A tea merchant's blends: which leaves are in a blend that a customer only describes?"""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

LEAVES = ("assam", "ceylon", "keemun", "sencha", "yunnan")
TASTES = ("malty", "smoky", "grassy", "floral")


def read_answer(text):
    """The object in the one answer block of a reply."""
    blocks = re.findall(r"<final_output>(.*?)</final_output>", text, re.DOTALL)
    try:
        given = json.loads(blocks[0]) if len(blocks) == 1 else None
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


class TeaBlends(Environment):
    """Find a blend by its taste and list its leaves and its price."""

    instructions = (
        "A customer describes a blend by its taste. search_blends(taste) returns the names of the blends with that "
        "taste, blend(name) the leaves, the price and the stock of one. Exactly one of them is in stock: name it, its "
        "price, and whether it contains Assam.\n"
        'Answer: <final_output>{"name": "NAME", "price": N, "assam": true or false}</final_output>'
    )
    typical_turns = 4

    def __init__(self, train_tasks: int = 36) -> None:
        self.sizes = {"train": train_tasks, "validation": 12, "test": 12}

    def tasks(self, split):
        rng = random.Random(f"tea: {split}")
        for n in range(self.sizes[split]):
            taste = rng.choice(TASTES)
            names = [f"No. {number}" for number in rng.sample(range(100, 1000), 5)]
            there = rng.randrange(3)
            blends = {
                name: {
                    "leaves": sorted(rng.sample(LEAVES, 2)),
                    "price": rng.randrange(4, 40),
                    "stock": rng.randrange(1, 30) if i == there or i > 2 else 0,
                    "taste": taste if i < 3 else rng.choice([other for other in TASTES if other != taste]),
                }
                for i, name in enumerate(names)
            }
            chosen = blends[names[there]]
            gold = {"name": names[there], "price": chosen["price"], "assam": "assam" in chosen["leaves"]}
            prompt = f"Customer {rng.randrange(10**4, 10**5)}, {split} season, would like something {taste}."
            data = {"blends": blends, "taste": taste, "gold": gold}
            yield Task(id=f"tea-{split}-{n}", prompt=prompt, data=data, split=split)

    @tool
    def search_blends(self, taste: str) -> list[str]:
        """Return the names of the blends with a taste.

        Args:
            taste: malty, smoky, grassy or floral.
        """
        if taste not in TASTES:
            raise ToolError(f"taste must be one of {', '.join(TASTES)}")
        return sorted(name for name, one in self.task.data["blends"].items() if one["taste"] == taste)

    @tool
    def blend(self, name: str) -> dict[str, object]:
        """Return leaves, price and stock of a blend.

        Args:
            name: No. and a number.
        """
        if name not in self.task.data["blends"]:
            raise ToolError(f"no blend {name}")
        one = self.task.data["blends"][name]
        return {key: one[key] for key in ("leaves", "price", "stock")}

    def reward(self, episode):
        gold = episode.task.data["gold"]
        given = read_answer(episode.answer.split("</think>")[-1]) or {}
        right = sum(
            name in given and type(given[name]) is type(value) and given[name] == value for name, value in gold.items()
        )
        return {"fields": right / len(gold.keys() | given.keys())}

    def oracle(self, task):
        (found,) = yield call("search_blends", taste=task.prompt.split()[-1].rstrip("."))
        for name in json.loads(found.content):
            (told,) = yield call("blend", name=name)
            blend = json.loads(told.content)
            if blend["stock"]:
                answer = {"name": name, "price": blend["price"], "assam": "assam" in blend["leaves"]}
                yield say(f"<final_output>{json.dumps(answer)}</final_output>")
                return
