"""Pick the offer for a lead, as a sales coach scores it."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

POINTS = {"size": 4, "tier": 5, "discount": 6}


def offer_for(lead):
    tier = "enterprise" if lead["seats"] > 200 else "team" if lead["seats"] > 20 else "starter"
    return {"size": lead["seats"], "tier": tier, "discount": 10 if lead["renewal"] else 0}


class SalesCoach(Environment):
    """Make an offer: size, tier and discount, all scored."""

    instructions = (
        "crm(lead) gives seats and whether it is a renewal. Tier: enterprise above 200 seats, team above 20, else "
        'starter. Discount 10 for renewals, else 0. Answer {"size": seats, "tier": "...", "discount": N}.'
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("leads/" + split)
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            lead = {"seats": rng.choice([rng.randrange(2, 60), rng.randrange(60, 600)]), "renewal": rng.random() < 0.5}
            name = f"lead-{split}-{rng.randrange(10**4)}"
            yield Task(id=f"{split}{n}", prompt=f"Offer for {name}", data={"lead": lead, "name": name}, split=split)

    @tool
    def crm(self, lead: str) -> dict:
        """Return what the customer database knows about a lead.

        Args:
            lead: Name of the lead.
        """
        if lead != self.task.data["name"]:
            raise ToolError(f"no such lead: {lead}")
        return self.task.data["lead"]

    def reward(self, episode):
        try:
            given = json.loads(episode.answer)
        except ValueError:
            return 0.0
        if not isinstance(given, dict):
            return 0.0
        expected = offer_for(episode.task.data["lead"])
        return float(sum(points for key, points in POINTS.items() if given.get(key) == expected[key]))

    def oracle(self, task):
        (lead,) = yield call("crm", lead=task.data["name"])
        yield say(json.dumps(offer_for(json.loads(lead.content))))
