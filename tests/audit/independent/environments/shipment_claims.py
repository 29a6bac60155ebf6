"""Claims for damaged shipments."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool


def read_answer(text):
    """The object in the one answer block of a reply."""
    blocks = re.findall(r"<final_output>(.*?)</final_output>", text, re.DOTALL)
    try:
        given = json.loads(blocks[0]) if len(blocks) == 1 else None
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


class ShipmentClaims(Environment):
    """Settle a claim: what is paid, and who handles it."""

    instructions = (
        "Settle the claim. get_claim gives value and damage in percent. Pay value times damage, at most 500. From 80 % "
        "damage on the outcome is total, from 30 % partial, below that minor.\n"
        'Answer: <final_output>{"paid": N, "outcome": "...", "handler": "..."}</final_output>'
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("claims: " + split)
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            value, damage = rng.randrange(100, 1500), rng.randrange(5, 101)
            outcome = "total" if damage >= 80 else "partial" if damage >= 30 else "minor"
            handler = rng.choice(["Moss", "Reed", "Heath", "Fern"])
            claim = f"C{rng.randrange(10**5, 10**6)}"
            gold = {"paid": min(500, value * damage // 100), "outcome": outcome, "handler": handler}
            data = {"claim": claim, "value": value, "damage": damage, "gold": gold}
            yield Task(id=f"{split}-{n}", prompt=f"Claim {claim} of the {split} quarter", data=data, split=split)

    @tool
    def get_claim(self, claim: str) -> dict[str, int]:
        """Return value of the goods and damage in percent.

        Args:
            claim: C and six digits.
        """
        if claim != self.task.data["claim"]:
            raise ToolError(f"no claim {claim}")
        return {"value": self.task.data["value"], "damage_percent": self.task.data["damage"]}

    def reward(self, episode):
        given, gold = read_answer(episode.answer) or {}, episode.task.data["gold"]
        return sum(given.get(name) == value for name, value in gold.items()) / len(gold.keys() | given.keys())

    def oracle(self, task):
        (found,) = yield call("get_claim", claim=task.data["claim"])
        claim = json.loads(found.content)
        damage = claim["damage_percent"]
        answer = {
            "paid": min(500, claim["value"] * damage // 100),
            "outcome": "total" if damage >= 80 else "partial" if damage >= 30 else "minor",
            "handler": task.data["gold"]["handler"],
        }
        yield say(f"<final_output>{json.dumps(answer)}</final_output>")
