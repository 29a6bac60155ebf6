"""Print room: bring the jobs of a morning into the right order and report the last one."""

import json
import random
import tempfile
from pathlib import Path

from turnwright import Environment, Task, ToolError, call, say, tool

SPOOL = Path(tempfile.gettempdir()) / "print_room_queue.json"


class PrintRoom(Environment):
    """Queue all waiting jobs, shortest first, and tell which one comes last."""

    instructions = """waiting lists jobs with their pages. Queue each with enqueue, the shortest first.
Then read the queue with show_queue and answer with the name of its last job."""
    typical_turns = 6

    def tasks(self, split):
        rng = random.Random(split + " print room")
        for morning in range({"train": 30, "validation": 10, "test": 10}[split]):
            names = [f"{word}-{rng.randrange(10, 99)}" for word in rng.sample(["flyer", "menu", "thesis", "map"], 3)]
            jobs = dict(zip(names, rng.sample(range(1, 60), 3), strict=True))
            prompt = f"Morning {morning} of the {split} weeks, {len(jobs)} jobs wait."
            gold = max(jobs, key=jobs.__getitem__)
            yield Task(id=f"{split}-{morning}", prompt=prompt, data={"jobs": jobs, "gold": gold}, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        SPOOL.write_text("[]")

    def close(self):
        SPOOL.unlink(missing_ok=True)

    @tool
    def waiting(self) -> dict[str, int]:
        """List the waiting jobs and their pages."""
        return self.task.data["jobs"]

    @tool
    def enqueue(self, job: str) -> str:
        """Put a job at the end of the queue.

        Args:
            job: Name of the job.
        """
        if job not in self.task.data["jobs"]:
            raise ToolError(f"no job {job}")
        queue = json.loads(SPOOL.read_text())
        SPOOL.write_text(json.dumps([*queue, job]))
        return f"position {len(queue) + 1}"

    @tool
    def show_queue(self) -> list[str]:
        """Return the queue in order."""
        return json.loads(SPOOL.read_text())

    def reward(self, episode):
        jobs = episode.task.data["jobs"]
        ordered = json.loads(SPOOL.read_text()) == sorted(jobs, key=jobs.__getitem__)
        return float(ordered and episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (found,) = yield call("waiting")
        jobs = json.loads(found.content)
        for job in sorted(jobs, key=jobs.__getitem__):
            yield call("enqueue", job=job)
        (queue,) = yield call("show_queue")
        yield say(json.loads(queue.content)[-1])
