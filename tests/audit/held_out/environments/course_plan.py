"""A school's courses and what each of them asks for."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

SUBJECTS = ("algebra", "botany", "chemistry", "drawing", "economics", "french", "geology")
PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}


class CoursePlan(Environment):
    """List the courses to be taken before a given one, in order."""

    instructions = (
        "Each course asks for at most one other: call requires for the course you are told, then for what it requires, "
        "until nothing is required. Answer with all of these courses, the first to take first and the wanted one last, "
        "separated by commas: algebra, french"
    )
    typical_turns = 4

    def tasks(self, split):
        """Return one pupil per task; each school year has a plan of its own."""
        return [self.wish(split, number) for number in range(*PARTS[split])]

    def wish(self, split, number):
        """Draw a plan and a wish."""
        chance = random.Random(f"courses {number}")
        chain = chance.sample(SUBJECTS, chance.randint(3, 4))
        requires = dict.fromkeys(SUBJECTS, "")
        requires.update(zip(chain[1:], chain[:-1], strict=True))
        data = {"requires": requires, "plan": ", ".join(chain)}
        return Task(id=f"wish-{number}", prompt=f"Pupil {number + 15} wants {chain[-1]}.", data=data, split=split)

    @tool
    def requires(self, course: str) -> dict[str, str]:
        """Return the course that must be taken before; empty where there is none.

        Args:
            course: Name of the course.
        """
        if course not in self.task.data["requires"]:
            raise ToolError(f"no course {course}")
        return {"requires": self.task.data["requires"][course]}

    def reward(self, episode):
        """Return 1 for the right list."""
        given = [course.strip() for course in episode.answer.split(",")]
        return float(", ".join(given) == episode.task.data["plan"])

    def oracle(self, task):
        """Walk back to the beginning."""
        chain = [task.prompt.split()[-1].rstrip(".")]
        while True:
            (before,) = yield call("requires", course=chain[0])
            course = json.loads(before.content)["requires"]
            if not course:
                break
            chain.insert(0, course)
        yield say(", ".join(chain))
