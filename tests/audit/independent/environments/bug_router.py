"""Routes incoming bug reports to teams. The episode ends when the agent says it is finished."""

import random
from typing import Literal

from turnwright import Environment, Episode, Script, Task, ToolError, call, say, tool

Team = Literal["payments", "search", "mobile", "identity"]
OWNERS = {"checkout-api": "payments", "indexer": "search", "ios-shell": "mobile", "login-web": "identity"}
SYMPTOMS = ["spinner never ends", "page is blank", "wrong total", "error 502", "text overlaps"]


class BugRouter(Environment):
    """Find the component at fault in a stack trace and assign the report to its owner."""

    instructions = """\
Route the bug report. Call stack_trace; its last line names the component at fault. checkout-api belongs to payments,
indexer to search, ios-shell to mobile, login-web to identity. Call assign with the team, then say finished."""
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(f"bugs {split} v2")
        tasks = []
        for n in range({"train": 40, "validation": 15, "test": 15}[split]):
            trace = rng.sample(list(OWNERS), 3)
            report = f"BUG-{ {'train': 2, 'validation': 5, 'test': 8}[split] }{n:03d}"
            prompt = f"{report}: {rng.choice(SYMPTOMS)} since build {rng.randrange(300, 999)}"
            tasks.append(Task(id=report, prompt=prompt, data={"trace": trace, "team": OWNERS[trace[-1]]}, split=split))
        return tasks

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        self._assigned: str | None = None

    @tool
    def stack_trace(self) -> str:
        """Return the stack trace attached to the report, outermost frame first."""
        return "\n".join(f"at {component}.handle()" for component in self.task.data["trace"])

    @tool
    def assign(self, team: Team) -> str:
        """Assign the report to a team.

        Args:
            team: The team that owns the component.
        """
        if self._assigned is not None:
            raise ToolError(f"already assigned to {self._assigned}")
        if team != self.task.data["team"]:
            raise ToolError(f"{team} bounced the report: it belongs to {self.task.data['team']}")
        self._assigned = team
        return "assigned"

    def reward(self, episode: Episode) -> float:
        return 1.0 if self._assigned == episode.task.data["team"] else 0.0

    def oracle(self, task: Task) -> Script:
        (trace,) = yield call("stack_trace")
        component = trace.content.splitlines()[-1].removeprefix("at ").removesuffix(".handle()")
        yield call("assign", team=OWNERS[component])
        yield say("finished")
