"""Appeals against parking fines."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool


class ParkingFines(Environment):
    """Uphold, halve or drop a fine."""

    instructions = (
        "Look at the fine with get_fine. With a valid permit: drop. Without one, up to 10 minutes over time: halve. "
        "Otherwise: uphold. Answer: <decision>word</decision>"
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random(f"fines {split}")
        counter = 0
        for page in range({"train": 10, "validation": 4, "test": 4}[split]):
            # Pages of the export overlap by one row when rows arrive while it runs.
            for row in range(4):
                counter += 0 if (split, page, row) in {("train", 3, 0), ("train", 7, 0)} else 1
                permit, over = rng.random() < 0.3, rng.randrange(1, 30)
                gold = "drop" if permit else "halve" if over <= 10 else "uphold"
                number = f"{split[0].upper()}{rng.randrange(10**5, 10**6)}"
                data = {"number": number, "permit": permit, "over": over, "gold": gold}
                yield Task(id=f"{split}-{counter:03}", prompt=f"Appeal against fine {number}", data=data, split=split)

    @tool
    def get_fine(self, number: str) -> dict[str, object]:
        """Return whether there was a permit and how many minutes the car stood over time.

        Args:
            number: Number of the fine.
        """
        if number != self.task.data["number"]:
            raise ToolError(f"no fine {number}")
        return {"permit": self.task.data["permit"], "minutes_over": self.task.data["over"]}

    def reward(self, episode):
        return float(episode.answer.strip() == f"<decision>{episode.task.data['gold']}</decision>")

    def oracle(self, task):
        (found,) = yield call("get_fine", number=task.data["number"])
        fine = json.loads(found.content)
        word = "drop" if fine["permit"] else "halve" if fine["minutes_over"] <= 10 else "uphold"
        yield say(f"<decision>{word}</decision>")
