"""Letters about refunds, written into a folder. Text and amount are graded from the file."""

import json
import random
import threading
from pathlib import Path

from turnwright import Task, ToolError, call, say, tool
from turnwright.environments.resources.folder import TemporaryFolder
from turnwright.environments.stateful import StatefulEnvironment

SHARES = {"late": 50, "broken": 100, "missing part": 30, "changed mind": 80}


class RefundLetters(StatefulEnvironment):
    """Write a letter of one line that names the customer and the refund."""

    instructions = (
        "Write the letter for the complaint. complaint returns customer, reason and price. Refund of the price: late "
        "50 %, broken 100 %, missing part 30 %, changed mind 80 %, rounded down. Save the line 'Dear NAME, we refund "
        "AMOUNT.' with save_letter and say sent."
    )
    typical_turns = 3
    resources = {"out": TemporaryFolder()}  # noqa: RUF012
    out: Path

    def tasks(self, split):
        rng = random.Random("letters, " + split)
        for _n in range({"train": 34, "validation": 12, "test": 12}[split]):
            case = {
                "customer": f"{rng.choice(['Ms', 'Mr'])} {rng.choice(['Adler', 'Bonnet', 'Cruz', 'Dahl', 'Esposito'])}",
                "reason": rng.choice([*SHARES]),
                "price": rng.randrange(20, 500),
            }
            number = f"{split[0].upper()}-{rng.randrange(10**5, 10**6)}"
            yield Task(id=number, prompt=f"Complaint {number}", data={"case": case}, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        # Letters are indexed in the background, as in the real office; close waits for it.
        self._closing = threading.Event()
        self._indexer = threading.Thread(target=self._closing.wait)
        self._indexer.start()

    def close(self):
        indexer = vars(self).pop("_indexer", None)
        if indexer is not None:
            self._closing.set()
            indexer.join()
        super().close()

    @tool
    def complaint(self, number: str) -> dict[str, object]:
        """Return customer, reason and price of a complaint.

        Args:
            number: A letter and six digits.
        """
        if number != self.task.id:
            raise ToolError(f"no complaint {number}")
        return self.task.data["case"]

    @tool
    def save_letter(self, text: str) -> str:
        """Save the letter; a second time replaces the first.

        Args:
            text: The whole letter.
        """
        (self.out / "letter.txt").write_text(text, encoding="utf-8")
        return "saved"

    def reward(self, episode):
        path = self.out / "letter.txt"
        if not path.exists():
            return 0.0
        return float(path.read_text(encoding="utf-8").strip() == letter(episode.task.data["case"]))

    def oracle(self, task):
        (found,) = yield call("complaint", number=task.prompt.split()[1])
        yield call("save_letter", text=letter(json.loads(found.content)))
        yield say("sent")


def letter(case):
    return f"Dear {case['customer']}, we refund {case['price'] * SHARES[case['reason']] // 100}."
