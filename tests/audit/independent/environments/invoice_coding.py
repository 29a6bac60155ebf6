"""Accounts payable: give every invoice its ledger account."""

from __future__ import annotations

import random

from turnwright import Environment, Task, ToolError, call, say, tool

ACCOUNTS = {"travel": "6100", "software": "6420", "rent": "6200", "catering": "6650"}
LINES = {
    "travel": ["rail ticket", "hotel night", "airport transfer"],
    "software": ["seat licence", "hosting", "annual support"],
    "rent": ["office space", "parking lot", "storage unit"],
    "catering": ["lunch buffet", "coffee service", "fruit basket"],
}


class InvoiceCoding(Environment):
    """Read the lines of a scanned invoice and book it on the right account."""

    typical_turns = 2
    instructions = (
        "Book the invoice. read_invoice gives its lines. Accounts: 6100 travel, 6420 software, 6200 rent, "
        "6650 catering; book by the line with the highest amount. Answer: <account>NNNN</account>"
    )

    def tasks(self, split):
        rng = random.Random({"train": 11, "validation": 12, "test": 13}[split])
        kinds = list(ACCOUNTS)
        for i in range({"train": 45, "validation": 12, "test": 15}[split]):
            kind = rng.choice(kinds)
            amounts = sorted(rng.sample(range(20, 900), 3), reverse=True)
            others = rng.sample([k for k in kinds if k != kind], 2)
            lines = [[rng.choice(LINES[k]), a] for k, a in zip([kind, *others], amounts, strict=True)]
            rng.shuffle(lines)
            serial = {"train": 0, "validation": 5000, "test": 7000}[split] + i
            document = f"DOC{kinds.index(kind) + 3}{rng.randrange(10)}-{serial:05d}"
            yield Task(
                id=f"{split}/{serial}",
                prompt=f"Please book document {document}, received from supplier {rng.randrange(200, 999)}.",
                data={"document": document, "lines": lines, "gold": ACCOUNTS[kind]},
                split=split,
            )

    @tool
    def read_invoice(self, document: str) -> list[list]:
        """Return the lines of a document, each with its text and amount.

        Args:
            document: Number of the document.
        """
        if document != self.task.data["document"]:
            raise ToolError(f"document {document} not found")
        return self.task.data["lines"]

    def reward(self, episode):
        return float(episode.answer.strip() == f"<account>{episode.task.data['gold']}</account>")

    def oracle(self, task):
        yield call("read_invoice", document=task.data["document"])
        text = max(task.data["lines"], key=lambda line: line[1])[0]
        kind = next(kind for kind, texts in LINES.items() if text in texts)
        yield say(f"<account>{ACCOUNTS[kind]}</account>")
