"""Routing of tickets in a company's help desk."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

TEAMS = ("network", "hardware", "accounts", "software")
PARTS = {"train": (0, 22), "validation": (22, 32), "test": (32, 44)}


class HelpdeskRouting(Environment):
    """Route a ticket to the team that owns its asset."""

    instructions = (
        "Call get_ticket for the asset, then get_owner for the team that owns it. Answer with the team: team: network"
    )
    typical_turns = 3
    max_turns = 8

    def tasks(self, split):
        """Return one ticket per task."""
        return [self.ticket(split, number) for number in range(*PARTS[split])]

    def ticket(self, split, number):
        """Draw a ticket."""
        chance = random.Random(f"helpdesk {number}")
        data = {"ticket": 600 + number, "asset": f"A{chance.randrange(1000, 9999)}", "team": chance.choice(TEAMS)}
        return Task(id=f"t{number}", prompt=f"Ticket {600 + number}", data=data, split=split)

    @tool
    def get_ticket(self, ticket: int) -> dict[str, str]:
        """Return the asset a ticket is about.

        Args:
            ticket: Number of the ticket.
        """
        if ticket != self.task.data["ticket"]:
            raise ToolError(f"no ticket {ticket}")
        return {"asset": self.task.data["asset"]}

    @tool
    def get_owner(self, asset: str) -> dict[str, str]:
        """Return the team that owns an asset.

        Args:
            asset: Such as A1234.
        """
        if asset != self.task.data["asset"]:
            raise ToolError(f"no asset {asset}")
        return {"team": self.task.data["team"]}

    def reward(self, episode):
        """Return 1 for the right team, and something for working with the tools."""
        right = episode.answer.strip() == f"team: {episode.task.data['team']}"
        calls = sum(len(turn.tools) for turn in episode.turns)
        return {"team": float(right), "effort": 0.2 * calls}

    def oracle(self, task):
        """Two look-ups and the answer."""
        (ticket,) = yield call("get_ticket", ticket=int(task.prompt.split()[1]))
        (owner,) = yield call("get_owner", asset=json.loads(ticket.content)["asset"])
        yield say(f"team: {json.loads(owner.content)['team']}")
