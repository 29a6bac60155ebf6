"""A book club's shelf: who has a book, and when is it due back?"""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

TITLES = ["The Ferry", "Salt", "A Quiet Orchard", "Nine Lamps", "Low Tide", "The Cartographer"]
PEOPLE = ["Ada", "Bo", "Cyn", "Dag", "Eve", "Finn"]


def _loans():
    rng = random.Random("book club")
    for number in range(66):
        yield {"number": number, "title": rng.choice(TITLES), "copy": rng.randrange(1000), "who": rng.choice(PEOPLE)}


class BookClub(Environment):
    """Tell who borrowed a copy of a book."""

    instructions = "Copies are lent to members. Ask loans for a copy and reply with: 'borrowed by NAME'."
    typical_turns = 2

    def tasks(self, split):
        loans = list(_loans())
        chosen = {"train": loans[:44], "validation": loans[44:55], "test": [*loans[55:], *loans[4:8]]}[split]
        for loan in chosen:
            prompt = f"Who has copy {loan['copy']} of '{loan['title']}'? (request {loan['number']})"
            data = {"loan": loan, "gold": f"borrowed by {loan['who']}"}
            yield Task(id=f"loan-{loan['number']}", prompt=prompt, data=data, split=split)

    @tool
    def loans(self, copy: int, title: str) -> dict[str, str]:
        """Return who borrowed a copy of a book.

        Args:
            copy: Number of the copy.
            title: Title of the book.
        """
        loan = self.task.data["loan"]
        if (copy, title) != (loan["copy"], loan["title"]):
            raise ToolError("this copy is on the shelf")
        return {"member": loan["who"]}

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        loan = task.data["loan"]
        (found,) = yield call("loans", copy=loan["copy"], title=loan["title"])
        yield say(f"borrowed by {found.content.split(': ')[1].strip('}').strip(chr(34))}")
