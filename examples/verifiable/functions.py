"""Code: write a function of one line or two; hidden cases in the sandbox decide."""

import random
import re

from turnwright import Script, Task, call, say
from turnwright.core.seeding import generator
from turnwright.core.task import Split
from turnwright.environments.verifiable import EditsFiles, RunsTests, VerifiableEnvironment

SIZES: dict[Split, int] = {"train": 60, "validation": 15, "test": 30}

KINDS = {
    "the sum of the numbers in values that are multiples of {n}": "sum(value for value in values if value % {n} == 0)",
    "the numbers in values that are larger than {n}, in reverse": "[value for value in values if value > {n}][::-1]",
    "the number of values at least {n} apart from the one before": (
        "sum(abs(two - one) >= {n} for one, two in zip(values, values[1:]))"
    ),
}


class Functions(EditsFiles, RunsTests, VerifiableEnvironment):
    """Write solution.py."""

    instructions = (
        "Write solution.py with the function that is asked for, by write_file. run_tests shows some of the tests. "
        "Other arguments are tested in the end. Say done when you are."
    )
    typical_turns = 4

    def tasks(self, split: Split) -> list[Task]:
        """Return functions that no other split has."""
        chosen = [(kind, number) for kind in KINDS for number in range(2, 40)]
        generator("functions").shuffle(chosen)
        first = sum(SIZES[earlier] for earlier in list(SIZES)[: list(SIZES).index(split)])
        return [make_task(split, kind, number) for kind, number in chosen[first : first + SIZES[split]]]

    def oracle(self, task: Task) -> Script:
        """Look at the tests, write the function, test it, say so."""
        yield call("run_tests")
        yield call("write_file", path="solution.py", content=f"def asked(values):\n    return {body_of(task.prompt)}\n")
        yield call("run_tests")
        yield say("done")


def make_task(split: Split, kind: str, number: int) -> Task:
    """Ask for a function, and work out what it returns for some lists."""
    chance = generator("functions", kind, number)
    prompt = f"Write asked(values), which returns {kind.format(n=number)}."
    cases = [make_case(chance, body_of(prompt), number) for _ in range(12)]
    data = {"files": {}, "visible": cases[:3], "hidden": cases[3:]}
    return Task(id=f"{split}-{kind.split()[1]}-{number}", prompt=prompt, data=data, split=split)


def make_case(chance: random.Random, body: str, number: int) -> dict[str, str]:
    """Draw a list, and return the case of ``asked`` for it."""
    values = [chance.choice((number, 2 * number, chance.randint(0, 99))) for _ in range(chance.randint(0, 8))]
    return {"expression": f"asked({values})", "expected": repr(eval(body, {"values": values}))}


def body_of(prompt: str) -> str:
    """Return the expression that a prompt asks for."""
    for kind, body in KINDS.items():
        found = re.search(re.escape(kind).replace(r"\{n\}", r"(\d+)"), prompt)
        if found:
            return body.format(n=found[1])
    raise LookupError(prompt)
