"""Motor claims: settle, inspect or decline, by policy and damage."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

FIRST = {"train": 0, "validation": 20, "test": 30}
LAST = {"train": 20, "validation": 30, "test": 40}
PREFIX = {"settle": "KA", "inspect": "MB", "decline": "TX"}


class MotorClaims(Environment):
    """Decide about one claim after reading it and its policy."""

    instructions = (
        "Call read_claim, then read_policy with the policy it names. A lapsed policy: decline. Otherwise damage above "
        "2000: inspect. Otherwise: settle. Answer with one line: decision: settle"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return the claims of a split."""
        return [self._claim(split, number) for number in range(FIRST[split], LAST[split])]

    def _claim(self, split, number):
        chance = random.Random(f"motor {number}")
        decision = chance.choice(("settle", "inspect", "decline"))
        damage = chance.randrange(2100, 9000, 10) if decision == "inspect" else chance.randrange(200, 2000, 10)
        reference = f"{PREFIX[decision]}{chance.randrange(10, 99)}{number + 100}"
        world = {
            "reference": reference,
            "policy": f"P-{chance.randrange(1000, 9999)}",
            "damage": damage,
            "state": "lapsed" if decision == "decline" else "active",
            "decision": decision,
        }
        return Task(id=f"claim-{number}", prompt=f"Claim {reference} is waiting.", data=world, split=split)

    @tool
    def read_claim(self, reference: str) -> dict:
        """Return policy and damage of a claim.

        Args:
            reference: The claim's reference.
        """
        if reference != self.task.data["reference"]:
            raise ToolError(f"no claim {reference}")
        return {"policy": self.task.data["policy"], "damage": self.task.data["damage"]}

    @tool
    def read_policy(self, policy: str) -> dict:
        """Return the state of a policy.

        Args:
            policy: Number of the policy.
        """
        if policy != self.task.data["policy"]:
            raise ToolError(f"no policy {policy}")
        return {"state": self.task.data["state"]}

    def reward(self, episode):
        """Return 1 for the right decision."""
        return float(episode.answer.strip() == f"decision: {episode.task.data['decision']}")

    def oracle(self, task):
        """Follow the instructions."""
        (claim,) = yield call("read_claim", reference=task.prompt.split()[1])
        claim = json.loads(claim.content)
        (policy,) = yield call("read_policy", policy=claim["policy"])
        lapsed = json.loads(policy.content)["state"] == "lapsed"
        yield say(f"decision: {'decline' if lapsed else 'inspect' if claim['damage'] > 2000 else 'settle'}")
