"""A veterinary hotline: from symptoms to the likely condition."""

import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

SIGNS = {
    "colic": ("rolling", "sweating", "no appetite"),
    "laminitis": ("warm hooves", "leaning back", "short steps"),
    "strangles": ("swollen throat", "fever", "nasal discharge"),
    "mud fever": ("scabs", "wet legs", "swelling"),
}


class SymptomChecker(Environment):
    """Ask for the signs of a horse and name the condition they belong to."""

    instructions = (
        "You answer a hotline for horses. examine(part) returns a sign: parts are head, body, legs. colic: rolling, "
        "sweating, no appetite. laminitis: warm hooves, leaning back, short steps. strangles: swollen throat, fever, "
        "nasal discharge. mud fever: scabs, wet legs, swelling. Two of the three signs belong to the condition. "
        "You may think in <think></think>. Then write: Diagnosis: <condition>"
    )
    typical_turns = 4

    def tasks(self, split):
        rng = random.Random(f"horses {split} 9")
        for n in range({"train": 44, "validation": 12, "test": 12}[split]):
            condition, other = rng.sample(list(SIGNS), 2)
            signs = [*rng.sample(SIGNS[condition], 2), rng.choice(SIGNS[other])]
            rng.shuffle(signs)
            name = rng.choice(["Bella", "Max", "Luna", "Rocky"])
            data = {"signs": dict(zip(("head", "body", "legs"), signs, strict=True)), "gold": condition}
            yield Task(id=f"{split}.{n}", prompt=f"Call {n} ({split}): {name} is unwell", data=data, split=split)

    @tool
    def examine(self, part: str) -> str:
        """Ask the owner to look at a part of the horse.

        Args:
            part: head, body or legs.
        """
        if part not in self.task.data["signs"]:
            raise ToolError("look at head, body or legs")
        return self.task.data["signs"][part]

    def reward(self, episode):
        found = re.search(r"diagnosis:\s*([a-z ]+)", episode.answer, re.IGNORECASE)
        return float(bool(found) and found.group(1).strip().lower() == episode.task.data["gold"])

    def oracle(self, task):
        seen = []
        for part in ("head", "body", "legs"):
            (sign,) = yield call("examine", part=part)
            seen.append(sign.content)
        yield say("Diagnosis: " + max(SIGNS, key=lambda condition: len(set(SIGNS[condition]) & set(seen))))
