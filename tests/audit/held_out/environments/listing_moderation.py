"""Moderation of a second-hand market."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

GOODS = ("bicycle", "sofa", "laptop", "pram", "drill", "tent", "lamp", "guitar")
POLITE = ("Please have a look at", "Could you check", "Kindly review")
PLAIN = ("Check", "Review", "Have a look at")


class ListingModeration(Environment):
    """Publish, hold or remove a listing."""

    instructions = """Call seller_record. Then:
- seller banned: remove
- account younger than 30 days: hold
- otherwise: publish
Reply with that one word."""
    typical_turns = 2

    def tasks(self, split):
        """Return the listings of a split."""
        offset = ("train", "validation", "test").index(split)
        numbers = [number for number in range(42) if (0, 0, 1, 2)[number % 4] == offset]
        return [self.listing(split, number) for number in numbers]

    def listing(self, split, number):
        """Draw one listing."""
        chance = random.Random(f"listing/{number}")
        verdict = chance.choice(("publish", "hold", "remove"))
        age = chance.randint(1, 29) if verdict == "hold" else chance.randint(31, 900)
        begin = chance.choice(POLITE if verdict == "publish" else PLAIN)
        seller = f"s{chance.randrange(10**4, 10**5)}"
        prompt = f"{begin} listing {300 + number}: {chance.choice(GOODS)}, {chance.randint(5, 400)} EUR, by {seller}."
        data = {"seller": seller, "age": age, "banned": verdict == "remove", "verdict": verdict}
        return Task(id=f"{300 + number}", prompt=prompt, data=data, split=split)

    @tool
    def seller_record(self, seller: str) -> dict:
        """Return age of the account in days, and whether it is banned.

        Args:
            seller: The seller's account, such as s12345.
        """
        if seller != self.task.data["seller"]:
            raise ToolError(f"unknown seller {seller}")
        return {"days": self.task.data["age"], "banned": self.task.data["banned"]}

    def reward(self, episode):
        """Return 1 for the right verdict."""
        return float(episode.answer.strip().lower() == episode.task.data["verdict"])

    def oracle(self, task):
        """Apply the three rules."""
        (found,) = yield call("seller_record", seller=task.prompt.split()[-1].rstrip("."))
        record = json.loads(found.content)
        yield say("remove" if record["banned"] else "hold" if record["days"] < 30 else "publish")
