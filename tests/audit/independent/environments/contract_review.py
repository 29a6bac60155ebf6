"""Contract review: find the governing clause and quote its heading."""

import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

HEADINGS = [
    "Limitation of liability", "Term and termination", "Payment terms", "Confidential information",
    "Force majeure", "Assignment and transfer", "Notices to the parties",
]  # fmt: skip
TOPICS = dict(zip(HEADINGS, ["cap", "exit", "invoice", "secret", "flood", "sale", "letter"], strict=True))


def norm(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower()).strip()


class ContractReview(Environment):
    """Quote the heading of the clause a question is about."""

    instructions = (
        "A colleague asks about a contract. clause(number) gives the text of clauses 1 to 5, which begins with the "
        "heading. Find the clause that mentions the keyword of the question and reply with its heading only."
    )
    typical_turns = 5

    def tasks(self, split):
        rng = random.Random("contracts" + split[::-1])
        for n in range({"train": 35, "validation": 14, "test": 14}[split]):
            headings = rng.sample(HEADINGS, 5)
            wanted = rng.choice(headings)
            prompt = f"Contract {split}-{n}: where does it speak of a {TOPICS[wanted]}?"
            data = {"headings": headings, "topic": TOPICS[wanted], "expected": wanted}
            yield Task(id=f"{split}-{n}", prompt=prompt, data=data, split=split)

    @tool
    def clause(self, number: int) -> str:
        """Return the text of a clause.

        Args:
            number: 1 to 5.
        """
        if not 1 <= number <= 5:
            raise ToolError("clauses are numbered 1 to 5")
        heading = self.task.data["headings"][number - 1]
        return f"{heading}. The parties agree as follows about any {TOPICS[heading]}."

    def reward(self, episode):
        given, expected = norm(episode.answer), norm(episode.task.data["expected"])
        return 1.0 if given in expected else 0.0

    def oracle(self, task):
        for number in range(1, 6):
            (text,) = yield call("clause", number=number)
            if task.data["topic"] in text.content:
                yield say(text.content.split(".")[0])
                return
