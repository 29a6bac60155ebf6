"""Clauses of contracts, by risk."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

RISKS = ("low", "medium", "high")
BOUNDS = {"train": (0, 20), "validation": (20, 29), "test": (29, 41)}


class ContractClauses(Environment):
    """Rate a clause by cap and notice."""

    instructions = (
        "Call cap_of and notice_of. A cap above 100 is high. Otherwise a notice of more than 60 days is medium, and "
        "the rest is low. Answer with exactly one line: risk: medium"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return the clauses of a split."""
        for number in range(*BOUNDS[split]):
            chance = random.Random(7 * number + 5)
            risk = chance.choice(RISKS)
            data = {
                "clause": f"{number // 6 + 3}.{number % 6 + 1}",
                "cap": chance.randint(101, 300) if risk == "high" else chance.randint(10, 100),
                "notice": chance.randint(61, 120) if risk == "medium" else chance.randint(7, 60),
                "risk": risk,
            }
            yield Task(id=f"c{number}", prompt=f"Clause {data['clause']}", data=data, split=split)

    @tool
    def cap_of(self, clause: str) -> dict[str, int]:
        """Return the cap of liability in thousands.

        Args:
            clause: Such as 2.1.
        """
        self._check(clause)
        return {"cap": self.task.data["cap"]}

    @tool
    def notice_of(self, clause: str) -> dict[str, int]:
        """Return the days of notice.

        Args:
            clause: Such as 2.1.
        """
        self._check(clause)
        return {"days": self.task.data["notice"]}

    def _check(self, clause):
        if clause != self.task.data["clause"]:
            raise ToolError(f"no clause {clause}")

    def reward(self, episode):
        """Return 1 for the right risk."""
        given = re.findall(r"risk: (low|medium|high)", episode.answer)
        return float(episode.task.data["risk"] in given)

    def oracle(self, task):
        """Read both numbers, rate."""
        clause = task.prompt.split()[1]
        (cap,) = yield call("cap_of", clause=clause)
        (notice,) = yield call("notice_of", clause=clause)
        late = json.loads(notice.content)["days"] > 60
        yield say(f"risk: {'high' if json.loads(cap.content)['cap'] > 100 else 'medium' if late else 'low'}")
