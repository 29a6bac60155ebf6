"""A seed merchant's catalogue, recorded once; `python seed_catalogue.py` writes the recordings anew."""

import asyncio
import json
import random
from pathlib import Path

from turnwright import Task, ToolError, call, say
from turnwright.environments.recorded import RecordedEnvironment
from turnwright.environments.recorded.capture import Recorder
from turnwright.environments.recorded.sources import Functions

PLANTS = [
    first + last
    for first in ("Al", "Bru", "Cal", "Den", "Eri", "Flo", "Gra", "Hel")
    for last in ("ium", "ora", "essa", "opis", "yma")
]
NUMBERS = {plant: 3000 + number for number, plant in enumerate(random.Random("catalogue").sample(PLANTS, 40))}
MONTHS = ("march", "april", "may", "june", "september")
SPLITS = {"train": PLANTS[0:20], "validation": PLANTS[20:30], "test": PLANTS[30:40]}


def find_seed(plant: str) -> dict:
    """Return the number of a plant's seed.

    Args:
        plant: Name of the plant.
    """
    if plant not in NUMBERS:
        raise ToolError(f"the catalogue has no {plant}")
    return {"seed": NUMBERS[plant]}


def sowing(seed: int) -> dict:
    """Return month and depth of sowing.

    Args:
        seed: Number of the seed.
    """
    if seed not in NUMBERS.values():
        raise ToolError(f"no seed {seed}")
    chance = random.Random(f"sowing {seed}")
    return {"month": chance.choice(MONTHS), "depth_mm": chance.randint(2, 40)}


class SeedCatalogue(RecordedEnvironment):
    """Say when a plant is sown, and how deep."""

    recordings = "seed_catalogue.jsonl"
    on_missing = "tell"
    instructions = "Call find_seed, then sowing. Answer with month and depth in mm, as in: may, 12"
    typical_turns = 3

    def tasks(self, split):
        """Return one plant per task."""
        return [
            Task(
                id=plant.lower(), prompt=f"When and how deep is {plant} sown?", data=sowing(NUMBERS[plant]), split=split
            )
            for plant in SPLITS[split]
        ]

    def reward(self, episode):
        """Return 1 for the right month and depth."""
        data = episode.task.data
        return float(episode.answer.strip() == f"{data['month']}, {data['depth_mm']}")

    def oracle(self, task):
        """Find, read, say."""
        (found,) = yield call("find_seed", plant=task.prompt.split()[5])
        (told,) = yield call("sowing", seed=json.loads(found.content)["seed"])
        told = json.loads(told.content)
        yield say(f"{told['month']}, {told['depth_mm']}")


async def record(path):
    """Ask everything, and two things that are not there."""
    with Recorder(path, Functions(find_seed, sowing)) as recorder:
        for plant in (*PLANTS, "Unobtainia"):
            await recorder.record("find_seed", {"plant": plant})
        for seed in (*NUMBERS.values(), 1):
            await recorder.record("sowing", {"seed": seed})


if __name__ == "__main__":
    asyncio.run(record(Path(__file__).with_suffix(".jsonl")))
