"""Pool attendant: dose chlorine and acid from a water sample. Calls are counted in the house's dashboard."""

import json
import random
import socket

from turnwright import Environment, Task, ToolError, call, say, tool

METRICS = ("127.0.0.1", 8125)


def count(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dashboard:
        dashboard.sendto(f"pool.{name}:1|c".encode(), METRICS)


def doses(sample, volume):
    chlorine = max(0, 10 - sample["chlorine_tenths"]) * volume // 10
    acid = max(0, sample["ph_tenths"] - 74) * volume // 5
    return {"chlorine": chlorine, "acid": acid}


class PoolChemistry(Environment):
    """Take a sample of a pool and say how many grams of chlorine and acid go in."""

    instructions = """Take a sample. All values are tenths: chlorine should be 10, ph at most 74.
chlorine in grams = missing tenths x volume / 10; acid in grams = tenths of ph above 74 x volume / 5; both rounded down.
Answer: <dose>{"chlorine": grams, "acid": grams}</dose>"""
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("pool:" + split)
        start = {"train": 10, "validation": 60, "test": 80}[split]
        for pool in range(start, start + (40 if split == "train" else 15)):
            sample = {"chlorine_tenths": rng.randrange(0, 14), "ph_tenths": rng.randrange(68, 84)}
            volume = rng.randrange(20, 200)
            prompt = f"Pool {pool}, {volume} cubic metres, please."
            data = {"pool": pool, "sample": sample, "volume": volume, "expected": doses(sample, volume)}
            yield Task(id=f"pool-{pool}", prompt=prompt, data=data, split=split)

    @tool
    def take_sample(self, pool: int) -> dict[str, int]:
        """Measure chlorine and ph of a pool, both in tenths.

        Args:
            pool: Number of the pool.
        """
        count("samples")
        if pool != self.task.data["pool"]:
            raise ToolError(f"pool {pool} is closed")
        return self.task.data["sample"]

    def reward(self, episode):
        text = episode.answer.strip()
        if not (text.startswith("<dose>") and text.endswith("</dose>")):
            return 0.0
        try:
            given = json.loads(text[6:-7])
        except ValueError:
            return 0.0
        return float(given == episode.task.data["expected"])

    def oracle(self, task):
        (sample,) = yield call("take_sample", pool=task.data["pool"])
        yield say(f"<dose>{json.dumps(doses(json.loads(sample.content), task.data['volume']))}</dose>")
