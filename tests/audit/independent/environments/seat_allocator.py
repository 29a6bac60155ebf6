"""Seats in a theatre. Party size, wheelchair and budget decide about the block."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

BLOCKS = ["stalls", "circle", "gallery", "box"]


def block_for(party, wheelchair, budget):
    if wheelchair:
        return "stalls"
    if party >= 5:
        return "box"
    return "circle" if budget >= 40 else "gallery"


class SeatAllocator(Environment):
    """Reserve seats for a party in the right block and tell the block."""

    typical_turns = 3
    instructions = (
        "Read the booking with get_booking. A wheelchair needs the stalls; otherwise parties of five and more get a "
        "box; otherwise the circle from a budget of 40 per head, below that the gallery. Call reserve with the block, "
        "then answer: BLOCK seat NUMBER, with the number that reserve returned."
    )

    def tasks(self, split):
        rng = random.Random(f"theatre {split}")
        number = {"train": 100, "validation": 400, "test": 700}[split]
        for i in range({"train": 40, "validation": 15, "test": 15}[split]):
            booking = {"party": rng.randrange(1, 8), "wheelchair": rng.random() < 0.2, "budget": rng.randrange(10, 90)}
            yield Task(
                id=f"booking-{number + i}",
                prompt=f"Booking {number + i}, for {rng.choice(['Tosca', 'Hamlet', 'Giselle', 'Faust'])}",
                data={"booking": booking, "block": block_for(**booking)},
                split=split,
            )

    def open(self, task, seed):
        super().open(task, seed)
        self.reserved = None

    @tool
    def get_booking(self) -> dict:
        """Return the booking at hand: size of the party, wheelchair, budget per head."""
        return self.task.data["booking"]

    @tool
    def reserve(self, block: str) -> int:
        """Reserve seats in a block and return the number of the first one.

        Args:
            block: stalls, circle, gallery or box.
        """
        if block not in BLOCKS:
            raise ToolError(f"no such block: {block}")
        self.reserved = (block, hash((self.task.id, block)) % 240 + 1)
        return self.reserved[1]

    def reward(self, episode):
        if self.reserved is None or self.reserved[0] != episode.task.data["block"]:
            return 0.0
        block, seat = self.reserved
        return float(episode.answer.strip() == f"{block} seat {seat}")

    def oracle(self, task):
        yield call("get_booking")
        block = block_for(**task.data["booking"])
        (seat,) = yield call("reserve", block=block)
        yield say(f"{block} seat {seat.content}")
