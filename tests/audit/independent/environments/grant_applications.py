"""Pre-screening of grant applications by a foundation's rules."""

import json
import random
from dataclasses import asdict, dataclass

from turnwright import Environment, Script, Task, ToolError, call, say, tool

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Application:
    budget: int
    own_share: int
    partners: int

    def decision(self):
        if self.own_share * 10 < self.budget:
            return "decline"
        if self.budget > 50_000 or self.partners < 2:
            return "panel"
        return "grant"


def _draw(rng):
    budget = rng.randrange(5, 90) * 1000
    return Application(budget, rng.choice((3, 8, 12, 20, 40)) * budget // 100, rng.randrange(0, 5))


def _year(split):
    """Applications as the export of the case system lists them."""
    rng = random.Random(f"grants:{split}")
    drawn = [_draw(rng) for _ in range(48 if split == "train" else 16)]
    return sorted(drawn, key=lambda application: application.decision())


class GrantApplications(Environment):
    """Decide whether an application is granted, declined, or goes before the panel."""

    instructions = (
        "Screen the application. finances gives budget and own share, partners the number of partners. Own share "
        "below a tenth of the budget: decline. Otherwise budget above 50000 or fewer than two partners: panel. "
        "Otherwise: grant. Reply 'Decision: <word>'."
    )
    typical_turns = 3

    def tasks(self, split):
        return [
            Task(
                id=f"{split}-{row}",
                prompt=f"Application {2000 + 100 * SPLITS.index(split) + row} of the {split} call",
                data={"application": asdict(one), "gold": one.decision()},
                split=split,
            )
            for row, one in enumerate(_year(split))
        ]

    @tool
    def finances(self, application: int) -> dict[str, int]:
        """Return an application's budget and own share.

        Args:
            application: Its number.
        """
        self._ask(application)
        return {key: self.task.data["application"][key] for key in ("budget", "own_share")}

    @tool
    def partners(self, application: int) -> int:
        """Return how many partners an application has.

        Args:
            application: Its number.
        """
        self._ask(application)
        return self.task.data["application"]["partners"]

    def _ask(self, application):
        if str(application) != self.task.prompt.split()[1]:
            raise ToolError(f"application {application} is not yours")

    def reward(self, episode):
        return float(episode.answer.strip() == "Decision: " + episode.task.data["gold"])

    def oracle(self, task: Task) -> Script:
        number = int(task.prompt.split()[1])
        (money,) = yield call("finances", application=number)
        (partners,) = yield call("partners", application=number)
        yield say("Decision: " + Application(**json.loads(money.content), partners=int(partners.content)).decision())
