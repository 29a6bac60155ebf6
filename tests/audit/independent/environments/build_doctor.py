"""A build server with a file watcher; the agent finds the step that broke a build."""

import random
import subprocess

from turnwright import Environment, Task, ToolError, call, say, tool

STEPS = ("fetch", "compile", "link", "test", "package")


class BuildDoctor(Environment):
    """Name the first step of a build that failed."""

    instructions = (
        "A build is red. step_log(step) returns the last line of a step's log: ok, failed or skipped. The steps are "
        "fetch, compile, link, test, package, in this order. Answer with the first failed step: broken=<step>"
    )
    typical_turns = 4

    def tasks(self, split):
        rng = random.Random({"train": "b1", "validation": "b2", "test": "b3"}[split])
        for n in range(40 if split == "train" else 15):
            broken = rng.randrange(len(STEPS))
            build = f"{split[:1]}{rng.randrange(2000, 9000)}"
            prompt = f"Build {build} of branch {rng.choice(['main', 'next', 'fix'])}-{n} is red."
            yield Task(id=f"{split}-{n}", prompt=prompt, data={"broken": broken, "gold": STEPS[broken]}, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        self._watcher = subprocess.Popen(["sleep", "25"], stdout=subprocess.DEVNULL, start_new_session=True)

    @tool
    def step_log(self, step: str) -> str:
        """Return the last line of a step's log.

        Args:
            step: fetch, compile, link, test or package.
        """
        if step not in STEPS:
            raise ToolError(f"no step {step}")
        place, broken = STEPS.index(step), self.task.data["broken"]
        return "ok" if place < broken else "failed" if place == broken else "skipped"

    def reward(self, episode):
        return float(episode.answer.strip() == "broken=" + episode.task.data["gold"])

    def oracle(self, task):
        for step in STEPS:
            (line,) = yield call("step_log", step=step)
            if line.content == "failed":
                yield say(f"broken={step}")
                return
