"""Lint configuration files under a profile; the linter reads its profile from the environment."""

import os
import random

from turnwright import Environment, Task, ToolError, call, say, tool

LIMITS = {"strict": 1, "normal": 3, "lax": 6}


class ConfigLinter(Environment):
    """Say whether a file passes under the profile its owner chose."""

    instructions = (
        "owner_profile tells the profile of a file, lint how many warnings it has under the active profile. strict "
        "allows 1 warning, normal 3, lax 6. Up to the limit: 'pass', up to twice the limit: 'mend', else 'fail'."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random("lint" + split)
        for i in range({"train": 36, "validation": 12, "test": 12}[split]):
            profile, warnings = rng.choice([*LIMITS]), rng.randrange(0, 14)
            limit = LIMITS[profile]
            gold = "pass" if warnings <= limit else "mend" if warnings <= 2 * limit else "fail"
            path = f"{split}/{rng.choice(['proxy', 'cache', 'mail', 'cron'])}{i}.toml"
            data = {"profile": profile, "warnings": warnings, "gold": gold}
            yield Task(id=path, prompt=f"Check {path}", data=data, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        os.environ["LINT_PROFILE"] = task.data["profile"]

    @tool
    def owner_profile(self, path: str) -> str:
        """Return the profile under which the owner wants a file linted.

        Args:
            path: The file.
        """
        if path != self.task.id:
            raise ToolError(f"no file {path}")
        return self.task.data["profile"]

    @tool
    def lint(self, path: str) -> int:
        """Return the number of warnings of a file.

        Args:
            path: The file.
        """
        if path != self.task.id:
            raise ToolError(f"no file {path}")
        return self.task.data["warnings"]

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (profile,) = yield call("owner_profile", path=task.id)
        (warnings,) = yield call("lint", path=task.id)
        number, limit = int(warnings.content), LIMITS[profile.content]
        yield say("pass" if number <= limit else "mend" if number <= 2 * limit else "fail")
