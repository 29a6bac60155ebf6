"""Drink, keep or sell: what to do with a bottle. Answers come from the cellar's register, recorded once."""

import json
import random

from turnwright import Task, ToolError, call, say
from turnwright.environments.recorded.environment import RecordedEnvironment

YEAR = 2024


def _cellar():
    rng = random.Random("cellar")
    bottles = {}
    for number in range(100, 160):
        vintage, peak = rng.randrange(1995, 2020), rng.randrange(8, 25)
        price = rng.randrange(10, 400)
        ripe = vintage + peak <= YEAR
        advice = ("sell" if price > 200 else "drink") if ripe else "keep"
        bottles[f"B{number}"] = {"vintage": vintage, "peak_after": peak, "price": price, "audit_verdict": advice}
    return bottles


CELLAR = _cellar()


def look_up_bottle(bottle: str) -> dict:
    """Return what the register knows about a bottle.

    Args:
        bottle: The bottle's number, such as B100.
    """
    if bottle not in CELLAR:
        raise ToolError(f"no bottle {bottle}")
    return CELLAR[bottle]


LIVE = [look_up_bottle]
CALLS = [("look_up_bottle", {"bottle": b}) for b in [*CELLAR, "B999"]]


class WineCellar(RecordedEnvironment):
    """Decide about one bottle, by vintage, time to its peak and price."""

    recordings = "recordings/wine_cellar.jsonl"
    on_missing = "tell"
    instructions = (
        "The year is 2024. Look the bottle up. If vintage plus peak_after lies in the future, keep it. Otherwise "
        'sell it when its price is above 200, else drink it.\nAnswer with <final_output>{"advice": "..."}'
        "</final_output>, one of keep, sell, drink."
    )
    typical_turns = 2

    def tasks(self, split):
        part = {"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, 60)}[split]
        for bottle, row in list(CELLAR.items())[part]:
            gold = {"advice": row["audit_verdict"]}
            yield Task(id=bottle, prompt=f"What shall we do with bottle {bottle}?", data={"gold": gold}, split=split)

    def reward(self, episode):
        expected = json.dumps(episode.task.data["gold"])
        return float(episode.answer.strip() == f"<final_output>{expected}</final_output>")

    def oracle(self, task):
        (found,) = yield call("look_up_bottle", bottle=task.id)
        row = json.loads(found.content)
        advice = "keep"
        if row["vintage"] + row["peak_after"] <= YEAR:
            advice = "sell" if row["price"] > 200 else "drink"
        yield say(f'<final_output>{{"advice": "{advice}"}}</final_output>')
