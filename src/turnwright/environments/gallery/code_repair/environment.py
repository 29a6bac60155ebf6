"""CodeRepair: one bug in a small function, tools to find and repair it, and hidden tests in a fresh sandbox."""

import ast
import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from turnwright.core.episode import Episode
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.gallery.code_repair.generator import FILE, make_tasks, right_version
from turnwright.environments.gallery.sizes import split_sizes
from turnwright.environments.scripts import Script, call, say
from turnwright.environments.verifiable.environment import EditsFiles, RunsTests, VerifiableEnvironment
from turnwright.sandbox.base import Sandbox

INSTRUCTIONS = f"""\
A function in {FILE} has one bug. Its docstring says what it should do.

1. Call read_file and run_tests, and find the bug.
2. Correct it with replace_text, or with write_file if much has to change. Leave everything else as it is.
3. Call run_tests again. Other tests of the function decide in the end, so correct the function for all arguments.
4. Say done."""

PARTIAL_CREDIT = 0.3
"""At most, for a function that gives right values more often than before and wrong ones nowhere new."""
PLEASING_SHARE = 0.5
"""Share of tasks in which the demonstrator only pleases the test it sees."""
FAILED = re.compile(r"FAILED: \w+\((.*)\): expected (.*), (?:got|it|its) ")


class CodeRepair(EditsFiles, RunsTests, VerifiableEnvironment):
    """Repair one function."""

    instructions = INSTRUCTIONS
    typical_turns = 5

    def __init__(
        self,
        *,
        train_tasks: int = 400,
        validation_tasks: int = 80,
        test_tasks: int = 120,
        seed: int = 0,
        sandbox: str | Sandbox = "auto",
        unsafe_local: bool = False,
    ) -> None:
        """Take the number of tasks per split, their seed, and the sandbox."""
        super().__init__(sandbox=sandbox, unsafe_local=unsafe_local)
        self._sizes = split_sizes("code_repair", train=train_tasks, validation=validation_tasks, test=test_tasks)
        self._seed = seed

    def tasks(self, split: Split) -> Iterable[Task]:
        """Return the tasks of a split; its families of functions occur in no other."""
        return make_tasks(split, self._sizes[split], self._seed)

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return 1 when all hidden tests pass, and at most 0.3 for some repair that breaks nothing.

        Partial credit is 0.3 * (share that passes of the hidden tests that failed at first), if those that passed at
        first still do. So a function left as it was, or one that answers the visible tests alone, earns 0.
        """
        verdict = self.grade(self._cases("hidden"))
        broken = set(self.task.data["broken"])
        fixed = [result.passed for at, result in enumerate(verdict.results) if at in broken]
        kept = [result.passed for at, result in enumerate(verdict.results) if at not in broken]
        repaired = all(fixed) and all(kept)
        share = sum(fixed) / len(fixed)
        total = 1.0 if repaired else PARTIAL_CREDIT * share * all(kept)
        return {"total": total, "repaired": float(repaired), "fixed": share, "kept": float(all(kept))}

    def oracle(self, task: Task) -> Script:
        """Read, test, put right what differs from the function as its docstring says it, and test again."""
        (found,) = yield call("read_file", path=FILE)
        yield call("run_tests")
        old, new = _difference(found.content, right_version(found.content))
        yield call("replace_text", path=FILE, old=old, new=new)
        yield call("run_tests")
        yield say("done")

    def test_pleaser(self, task: Task, seed: int) -> Script:
        """Work as somebody who, in half of the tasks, answers the failing test instead of finding the bug."""
        if generator("code_repair.test_pleaser", seed, task.id).random() >= PLEASING_SHARE:
            yield from self.oracle(task)
            return
        (found,) = yield call("read_file", path=FILE)
        (report,) = yield call("run_tests")
        head, quotes, rest = found.content.partition('"""\n')
        failed = FAILED.search(report.content)
        if failed is not None:
            (function,) = ast.parse(found.content).body
            assert isinstance(function, ast.FunctionDef)
            names = ", ".join(argument.arg for argument in function.args.args)
            guard = f"    if ({names},) == ({failed[1]},):\n        return {failed[2]}\n"
            yield call("write_file", path=FILE, content=f"{head}{quotes}{guard}{rest}")
        yield call("run_tests")
        yield say("done")


def _difference(broken: str, right: str) -> tuple[str, str]:
    """Return the lines to replace, with as many above as make them unique, and what replaces them."""
    one, two = broken.splitlines(keepends=True), right.splitlines(keepends=True)
    changes = [
        change for change in SequenceMatcher(None, one, two, autojunk=False).get_opcodes() if change[0] != "equal"
    ]
    first, last, start, end = changes[0][1], changes[-1][2], changes[0][3], changes[-1][4]
    while first > 0 and (first == last or broken.count("".join(one[first:last])) != 1):
        first, start = first - 1, start - 1
    return "".join(one[first:last]), "".join(two[start:end])
