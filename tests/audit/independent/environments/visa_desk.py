"""A consulate's visa desk."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

VERDICTS = ("granted", "refused", "interview")


def verdict(file):
    if file["passport_months"] < 6:
        return "refused"
    return "interview" if file["previous_refusals"] or file["funds"] < 1000 else "granted"


class VisaDesk(Environment):
    """Decide about a visa by passport, refusals and funds."""

    typical_turns = 2
    instructions = (
        "Open the applicant's file with open_file. A passport valid for less than 6 months: refused. Otherwise any "
        "previous refusal or funds below 1000: interview. Otherwise granted. Reply with one sentence that ends in the "
        "verdict, such as: The visa is VERDICT."
    )

    def tasks(self, split):
        rng = random.Random("consulate" + split)
        for n in range({"train": 45, "validation": 15, "test": 15}[split]):
            file = {
                "passport_months": rng.choice([2, 4, 5, 8, 20, 60, 90]),
                "previous_refusals": rng.choice([0, 0, 0, 1]),
                "funds": rng.randrange(300, 5000, 100),
            }
            number = f"V{rng.randrange(10**6, 10**7)}"
            data = {"number": number, "file": file, "gold": verdict(file)}
            yield Task(id=f"{split}-{n}", prompt=f"Applicant {number} is at the window.", data=data, split=split)

    @tool
    def open_file(self, applicant: str) -> dict[str, int]:
        """Return an applicant's file.

        Args:
            applicant: V and seven digits.
        """
        if applicant != self.task.data["number"]:
            raise ToolError("no such file")
        return self.task.data["file"]

    def reward(self, episode):
        words = episode.answer.strip(" .\n").split()
        return float(bool(words) and words[-1] == episode.task.data["gold"])

    def oracle(self, task):
        (file,) = yield call("open_file", applicant=task.data["number"])
        yield say(f"The visa is {verdict(json.loads(file.content))}.")
