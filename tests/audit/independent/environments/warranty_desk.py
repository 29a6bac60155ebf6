"""Warranty claims of an appliance shop."""

import json
import random
import time

from turnwright import Environment, Task, ToolError, call, say, tool

TERMS = {"kettle": 12, "fridge": 60, "mixer": 24}

INSTRUCTIONS = f"""You handle warranty claims at a shop for appliances. Date: {time.strftime("%d %B %Y")}.
Every claim says what broke. purchase returns the article and its age in months, fault what the workshop found.
A kettle has 12 months of warranty, a mixer 24, a fridge 60. Inside the warranty: replace, but repair when the fault is
"loose part". Outside: offer "discount". Damage by the customer ("misuse") is always: reject.
Reply with the action alone."""


class WarrantyDesk(Environment):
    """Choose between replace, repair, discount and reject."""

    instructions = INSTRUCTIONS
    typical_turns = 3

    def tasks(self, split):
        chance = random.Random({"train": 1, "validation": 2, "test": 3}[split])
        result = []
        for n in range({"train": 48, "validation": 16, "test": 16}[split]):
            article = chance.choice(list(TERMS))
            age = chance.randrange(1, 2 * TERMS[article])
            fault = chance.choice(["dead motor", "loose part", "misuse", "leak"])
            if fault == "misuse":
                action = "reject"
            elif age > TERMS[article]:
                action = "discount"
            else:
                action = "repair" if fault == "loose part" else "replace"
            claim = f"{split[0]}{chance.randrange(10000, 99999)}"
            data = {"claim": claim, "article": article, "age": age, "fault": fault, "gold": action}
            result.append(Task(id=f"{split}-{n}", prompt=f"claim {claim}", data=data, split=split))
        return result

    @tool
    def purchase(self, claim: str) -> dict[str, object]:
        """Return article and age in months of what a claim is about.

        Args:
            claim: Number of the claim.
        """
        self._must_be(claim)
        return {"article": self.task.data["article"], "age_months": self.task.data["age"]}

    @tool
    def fault(self, claim: str) -> str:
        """Return what the workshop found.

        Args:
            claim: Number of the claim.
        """
        self._must_be(claim)
        return self.task.data["fault"]

    def _must_be(self, claim):
        if claim != self.task.data["claim"]:
            raise ToolError(f"claim {claim} unknown")

    def reward(self, episode):
        return float(episode.answer.strip().lower() == episode.task.data["gold"])

    def oracle(self, task):
        claim = task.prompt.split()[1]
        (bought,) = yield call("purchase", claim=claim)
        (fault,) = yield call("fault", claim=claim)
        article = json.loads(bought.content)
        if fault.content == "misuse":
            yield say("reject")
        elif article["age_months"] > TERMS[article["article"]]:
            yield say("discount")
        else:
            yield say("repair" if fault.content == "loose part" else "replace")
