"""Ground station: which satellite passes highest?"""

import json
import random
import time

from turnwright import Environment, Task, ToolError, call, say, tool

NAMES = ["Kestrel-1", "Osprey-4", "Merlin-2", "Harrier-7"]


class SatellitePasses(Environment):
    """Choose the pass with the highest elevation over the station."""

    instructions = (
        "propagate(satellite) computes a satellite's next pass over the station. Track the one with the highest "
        f"elevation. The satellites: {', '.join(NAMES)}. Answer: track NAME"
    )
    typical_turns = 5

    def tasks(self, split):
        rng = random.Random("orbit " + split)
        for n in range({"train": 24, "validation": 8, "test": 8}[split]):
            heights = dict(zip(NAMES, rng.sample(range(5, 90), 4), strict=True))
            gold = max(heights, key=heights.get)
            prompt = f"{split.upper()} night {n}: what do we track?"
            yield Task(id=f"{split}-{n}", prompt=prompt, data={"heights": heights, "gold": gold}, split=split)

    @tool
    def propagate(self, satellite: str) -> dict[str, int]:
        """Compute a satellite's next pass; returns its highest elevation in degrees.

        Args:
            satellite: Name of the satellite.
        """
        if satellite not in NAMES:
            raise ToolError(f"no elements for {satellite}")
        time.sleep(0.8)
        return {"elevation": self.task.data["heights"][satellite]}

    def reward(self, episode):
        return float(episode.answer.strip() == f"track {episode.task.data['gold']}")

    def oracle(self, task):
        seen = {}
        for name in NAMES:
            (found,) = yield call("propagate", satellite=name)
            seen[name] = json.loads(found.content)["elevation"]
        yield say(f"track {max(seen, key=seen.get)}")
