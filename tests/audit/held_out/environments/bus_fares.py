"""Fares of a bus company."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
CARDS = ("none", "student", "senior", "staff")


class BusFares(Environment):
    """Work out the fare of a trip in cents."""

    instructions = (
        "Call get_trip for zones and card, then zone_price with the number of zones. A student pays half (rounded "
        "down), a senior 50 cents less, staff nothing, and everybody else the full price. Answer: fare: 240"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one trip per task."""
        return [self.trip(split, number) for number in range(*PARTS[split])]

    def trip(self, split, number):
        """Draw a trip and the prices of its day."""
        chance = random.Random(f"bus {number}")
        data = {
            "trip": chance.randrange(10**5, 10**6),
            "zones": chance.randint(1, 6),
            "card": chance.choice(CARDS),
            "prices": {str(zones): 110 * zones + 10 * chance.randint(0, 10) for zones in range(1, 7)},
        }
        data["fare"] = fare(data["prices"][str(data["zones"])], data["card"])
        return Task(id=f"trip-{number}", prompt=f"Trip {data['trip']}", data=data, split=split)

    @tool
    def get_trip(self, trip: int) -> dict:
        """Return zones and card of a trip.

        Args:
            trip: Number of the trip.
        """
        if trip != self.task.data["trip"]:
            raise ToolError(f"no trip {trip}")
        return {"zones": self.task.data["zones"], "card": self.task.data["card"]}

    @tool
    def zone_price(self, zones: int) -> dict[str, int]:
        """Return the full price in cents.

        Args:
            zones: Number of zones, 1 to 6.
        """
        if not 1 <= zones <= 6:
            raise ToolError(f"zones is {zones}: expected 1 to 6")
        return {"cents": self.task.data["prices"][str(zones)]}

    def reward(self, episode):
        """Return 1 for the right fare."""
        return float(episode.answer.strip() == f"fare: {episode.task.data['fare']}")

    def oracle(self, task):
        """Look up, reduce."""
        (trip,) = yield call("get_trip", trip=int(task.prompt.split()[1]))
        trip = json.loads(trip.content)
        (price,) = yield call("zone_price", zones=trip["zones"])
        yield say(f"fare: {fare(json.loads(price.content)['cents'], trip['card'])}")


def fare(price, card):
    """Return what the holder of a card pays."""
    return {"none": price, "student": price // 2, "senior": price - 50, "staff": 0}[card]
