"""Release of aircraft parts, after the procedure of the maintenance shop."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

PROCEDURE = """\
<sop>
Purpose: decide on the release of a part after inspection.
1. read_card: hours since overhaul, hours allowed, number of open remarks.
2. Hours above those allowed: scrap. Otherwise two or more open remarks: rework. Otherwise: release.
3. State decision and hours_left (allowed less used, at least 0).
Output: exactly one block
<final_response>{"decision": "release", "hours_left": 120}</final_response>
</sop>"""


class AircraftParts(Environment):
    """Follow the procedure for one part."""

    instructions = PROCEDURE
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("parts " + split)
        for n in range({"train": 40, "validation": 14, "test": 14}[split]):
            used, allowed, remarks = rng.randrange(100, 3000), rng.randrange(800, 3000), rng.randrange(0, 4)
            decision = "scrap" if used > allowed else "rework" if remarks >= 2 else "release"
            part = f"PN{rng.randrange(10**5, 10**6)}-{split[0]}"
            gold = {"decision": decision, "hours_left": max(0, allowed - used)}
            card = {"used": used, "allowed": allowed, "open_remarks": remarks}
            yield Task(
                id=f"{split}{n}", prompt=f"part: {part}", data={"part": part, "card": card, "gold": gold}, split=split
            )

    @tool
    def read_card(self, part: str) -> dict[str, int]:
        """Return the job card of a part.

        Args:
            part: Part number.
        """
        if part != self.task.data["part"]:
            raise ToolError(f"no card for {part}")
        return self.task.data["card"]

    def reward(self, episode):
        blocks = re.findall(r"<final_output>(\{.*?\})</final_output>", episode.answer, re.DOTALL)
        if len(blocks) != 1:
            return 0.0
        try:
            given = json.loads(blocks[0])
        except ValueError:
            return 0.0
        gold = episode.task.data["gold"]
        return sum(given.get(key) == value for key, value in gold.items()) / len({*gold, *given})

    def oracle(self, task):
        yield call("read_card", part=task.data["part"])
        card = task.data["card"]
        late = card["used"] > card["allowed"]
        decision = "scrap" if late else "rework" if card["open_remarks"] >= 2 else "release"
        answer = {"decision": decision, "hours_left": max(0, card["allowed"] - card["used"])}
        yield say(f"<final_output>{json.dumps(answer)}</final_output>")
