"""Lost property office: match a description to an item on the shelves. Labels were made by two temps."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

COLOURS = ["red", "blue", "black", "green"]
THINGS = ["umbrella", "scarf", "bag", "glove", "cap"]
SHELVES = ("north", "south", "cellar")


def read_answer(text):
    """The object in the one answer block of a reply."""
    blocks = re.findall(r"<final_output>(.*?)</final_output>", text, re.DOTALL)
    try:
        given = json.loads(blocks[0]) if len(blocks) == 1 else None
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


class LostProperty(Environment):
    """Say on which shelf a described item lies and under what number."""

    instructions = (
        "Somebody lost something. shelf(name) lists the items of the shelves north, south and cellar by number. "
        'Answer with <final_output>{"shelf": name, "number": N}</final_output>.'
    )
    typical_turns = 4

    def tasks(self, split):
        rng = random.Random(f"lost-{split}")
        for n in range({"train": 40, "validation": 16, "test": 16}[split]):
            kinds = rng.sample([f"{c} {t}" for c in COLOURS for t in THINGS], 9)
            shelves = {
                shelf: {str(rng.randrange(100, 999)): kind for kind in kinds[3 * i : 3 * i + 3]}
                for i, shelf in enumerate(SHELVES)
            }
            wanted = rng.choice(kinds)
            place = next((s, int(k)) for s, items in shelves.items() for k, kind in items.items() if kind == wanted)
            gold = {"shelf": place[0], "number": place[1]}
            if n % 9 == 4:
                gold["shelf"] = SHELVES[(SHELVES.index(place[0]) + 1) % 3]
            prompt = f"{split} enquiry {n}: I lost my {wanted} on line {rng.randrange(1, 40)}."
            data = {"shelves": shelves, "wanted": wanted, "gold": gold}
            yield Task(id=f"enquiry-{split}-{n}", prompt=prompt, data=data, split=split)

    @tool
    def shelf(self, name: str) -> dict[str, str]:
        """List the items on a shelf by their number.

        Args:
            name: north, south or cellar.
        """
        if name not in self.task.data["shelves"]:
            raise ToolError(f"no shelf {name}")
        return self.task.data["shelves"][name]

    def reward(self, episode):
        given, gold = read_answer(episode.answer) or {}, episode.task.data["gold"]
        return sum(given.get(key) == value for key, value in gold.items()) / len(gold)

    def oracle(self, task):
        for shelf in SHELVES:
            (listed,) = yield call("shelf", name=shelf)
            for number, kind in json.loads(listed.content).items():
                if kind == task.data["wanted"]:
                    answer = json.dumps({"shelf": shelf, "number": int(number)})
                    yield say(f"<final_output>{answer}</final_output>")
                    return
