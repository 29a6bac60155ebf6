"""Votes of a board: count them and state the outcome. The tools are coroutines, as those of a web service."""

import asyncio
import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

MEMBERS = ["Achebe", "Brandt", "Castro", "Duarte", "Eriksen", "Fofana", "Grass"]


class BoardMinutes(Environment):
    """State whether a motion is carried, lost or tied."""

    instructions = (
        "Ask for the members with members, then for the vote of each with vote. Abstentions do not count. More yes "
        "than no: carried; fewer: lost; otherwise tied. Reply: MOTION <outcome> <yes>:<no>"
    )
    typical_turns = 7

    def tasks(self, split):
        rng = random.Random(f"board {split} minutes")
        for n in range({"train": 32, "validation": 10, "test": 10}[split]):
            present = rng.sample(MEMBERS, 5)
            votes = {name: rng.choices(("yes", "no", "abstains"), (3, 3, 2))[0] for name in present}
            motion = f"M{rng.randrange(100, 1000)}/{ {'train': 21, 'validation': 22, 'test': 23}[split] }-{n}"
            yield Task(id=motion, prompt=f"Motion {motion}: what was decided?", data={"votes": votes}, split=split)

    @tool
    async def members(self) -> list[str]:
        """Return the members who were present."""
        await asyncio.sleep(0)
        return list(self.task.data["votes"])

    @tool
    async def vote(self, member: str) -> str:
        """Return how a member voted.

        Args:
            member: Family name.
        """
        await asyncio.sleep(0)
        if member not in self.task.data["votes"]:
            raise ToolError(f"{member} was not present")
        return self.task.data["votes"][member]

    def reward(self, episode):
        votes = list(episode.task.data["votes"].values())
        return float(episode.answer.strip() == outcome(votes.count("yes"), votes.count("no")))

    def oracle(self, task):
        (present,) = yield call("members")
        votes = []
        for member in json.loads(present.content):
            (vote,) = yield call("vote", member=member)
            votes.append(vote.content)
        yield say(outcome(votes.count("yes"), votes.count("no")))


def outcome(yes, no):
    word = "carried" if yes > no else "lost" if yes < no else "tied"
    return f"MOTION {word} {yes}:{no}"
