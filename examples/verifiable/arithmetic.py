"""Mathematics: word problems whose numbers are found with a calculator and stated in a box."""

import re

from turnwright import Script, Task, call, say
from turnwright.core.seeding import generator
from turnwright.core.task import Split
from turnwright.environments.verifiable.numbers import Calculates, NumberQuestions

SIZES: dict[Split, int] = {"train": 200, "validation": 40, "test": 80}
PROMPT = (
    "A tank holds {full} litres. It is filled to {part}/{whole}, then {taken} % of that is taken out. What is left?"
)


class Arithmetic(Calculates, NumberQuestions):
    """State how much is left, exactly."""

    typical_turns = 2

    def tasks(self, split: Split) -> list[Task]:
        """Return problems about tanks of a size that no other problem has."""
        sizes = list(range(200, 990))
        generator("arithmetic").shuffle(sizes)
        first = sum(SIZES[earlier] for earlier in list(SIZES)[: list(SIZES).index(split)])
        return [make_task(split, full) for full in sizes[first : first + SIZES[split]]]

    def oracle(self, task: Task) -> Script:
        """Read the numbers, calculate, answer."""
        full, part, whole, taken = re.findall(r"\d+", task.prompt)
        (result,) = yield call("calculate", expression=f"{full} * {part}/{whole} * (1 - {taken}%)")
        yield say(f"There are \\boxed{{{result.content}}} litres left.")


def make_task(split: Split, full: int) -> Task:
    """Draw the other numbers of a problem, and work out the answer."""
    chance = generator("arithmetic", full)
    whole, taken = chance.randint(3, 9), chance.randint(5, 95)
    part = chance.randint(1, whole - 1)
    prompt = PROMPT.format(full=full, part=part, whole=whole, taken=taken)
    answer = f"{full * part * (100 - taken)}/{whole * 100}"
    return Task(id=f"{split}-{full}", prompt=prompt, data={"answer": answer}, split=split)
