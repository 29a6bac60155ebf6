"""Code repair: every bug is real and shown, its repair passes and nothing else does, and no function crosses splits."""

import ast
import asyncio
from typing import Any

import pytest

from turnwright.audit.play import play
from turnwright.core.errors import ConfigError
from turnwright.core.outcome import Rewarded
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments import call, load_environment, say
from turnwright.environments.gallery.code_repair.environment import CodeRepair, _difference
from turnwright.environments.gallery.code_repair.families import FAMILIES
from turnwright.environments.gallery.code_repair.generator import FILE, make_tasks, right_version
from turnwright.environments.gallery.code_repair.mutations import mutant, mutations, tidy
from turnwright.environments.scripts import Script, numbered
from turnwright.sandbox.base import SandboxError
from turnwright.sandbox.choose import open_sandbox

try:
    SANDBOX = open_sandbox()
except SandboxError as missing:
    pytest.skip(f"no sandbox works here: {missing}", allow_module_level=True)

REPAIR = CodeRepair(sandbox=SANDBOX, train_tasks=42, validation_tasks=12, test_tasks=18)
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TASKS = [task for split in SPLITS for task in REPAIR.tasks(split)]


def value(task: Task, script: Script) -> float:
    outcome = asyncio.run(play(REPAIR, task, script, seed=0)).outcome
    assert isinstance(outcome, Rewarded)
    return outcome.value


def call_here(source: str, expression: str) -> Any:
    names: dict[str, Any] = {}
    exec(source, names)
    try:
        return eval(expression, names)
    except Exception as error:  # a planted bug may raise anything
        return type(error)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return a < 2", {"return a <= 2", "return a > 2", "return a < 3", "return a < 1"}),
        ("return a // b", {"return a % b"}),
        ("return min(a, b)", {"return max(a, b)"}),
        ("return f(a, b)", {"return f(b, a)"}),
        ("return a and b", {"return a or b"}),
        ("return (a, True, 'x')", set()),
        ("a += b", {"a -= b"}),
        ("a.append(b)", {"pass"}),
        ("if a:\n        return b", {"if not a:\n        return b"}),
        ("for c in a:\n        continue", {"for c in a:\n        pass"}),
    ],
)
def test_every_small_bug_of_a_kind_is_made_once(source: str, expected: set[str]):
    head = 'def g(a, b):\n    """Say 1 < 2."""\n    '
    made = [mutant(head + source, *mutation) for mutation in mutations(head + source)]
    assert {text.removeprefix(head).rstrip() for text in made} == expected
    assert len(made) == len(expected)


def test_tasks_are_a_function_of_the_seed_and_share_no_family():
    clusters = {split: {task.cluster for task in REPAIR.tasks(split)} for split in SPLITS}
    assert [len(clusters[split]) for split in SPLITS] == [14, 4, 6]
    assert not clusters["train"] & clusters["test"] | clusters["validation"] & (clusters["train"] | clusters["test"])
    assert len({task.id for task in TASKS}) == len({task.data["files"][FILE] for task in TASKS}) == 72
    make_tasks.cache_clear()
    assert [task for split in SPLITS for task in REPAIR.tasks(split)] == TASKS
    other = CodeRepair(sandbox=SANDBOX, seed=1, train_tasks=42)
    assert {task.data["files"][FILE] for task in other.tasks("train")} != {
        task.data["files"][FILE] for task in TASKS[:42]
    }


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_bug_shows_in_one_visible_and_some_hidden_tests(task: Task):
    broken = task.data["files"][FILE]
    right = right_version(broken)
    assert ast.get_docstring(ast.parse(broken).body[0]) == ast.get_docstring(ast.parse(right).body[0])  # type: ignore[arg-type]
    for kind, failing in (("visible", None), ("hidden", task.data["broken"])):
        wrong = []
        for at, entry in enumerate(task.data[kind]):
            expected = ast.literal_eval(entry["expected"])
            assert call_here(right, entry["expression"]) == expected
            wrong += [at] if repr(call_here(broken, entry["expression"])) != entry["expected"] else []
        assert wrong == failing if failing is not None else len(wrong) == 1
    assert task.data["broken"]
    shown = {entry["expression"] for entry in task.data["visible"]}
    assert not shown & {entry["expression"] for entry in task.data["hidden"]}


def test_every_variant_of_every_family_is_found_by_its_docstring():
    for family in FAMILIES:
        for variant in family.variants():
            assert right_version(tidy(variant)) == tidy(variant)
            assert "$" not in variant
    with pytest.raises(LookupError, match="no family has a function 'def other"):
        right_version('def other(x):\n    """Return x."""\n')


def test_the_lines_to_replace_occur_once():
    broken, right = "a\n    x\nb\n    x\n", "a\n    x\nb\n    y\n"
    assert _difference(broken, right) == ("b\n    x\n", "b\n    y\n")
    assert _difference("a\nb\n", "a\nc\nb\n") == ("a\n", "a\nc\n")


@pytest.mark.slow
def test_a_function_is_repaired():
    assert value(TASKS[0], REPAIR.scripted("oracle")(TASKS[0], 0)) == 1.0


@pytest.mark.sandbox
def test_a_function_that_is_left_or_pleases_its_tests_earns_nothing():
    task = TASKS[0]
    assert value(task, numbered([say("done")])) == 0.0
    pleasing = next(seed for seed in range(99) if generator("code_repair.test_pleaser", seed, task.id).random() < 0.5)
    episode = asyncio.run(play(REPAIR, task, REPAIR.scripted("test_pleaser")(task, pleasing), seed=0))
    assert episode.outcome == Rewarded(value=0.0, components={"repaired": 0.0, "fixed": 0.0, "kept": 1.0})
    assert episode.turns[3].responses[0].content.startswith("3 of 3 pass")


@pytest.mark.sandbox
@pytest.mark.parametrize("task", TASKS[::3], ids=lambda task: task.id)
def test_the_oracle_repairs_every_function(task: Task):
    assert value(task, REPAIR.scripted("oracle")(task, 0)) == 1.0


@pytest.mark.sandbox
def test_partial_credit_is_for_repairs_that_break_nothing():
    task = next(task for task in TASKS if len(task.data["broken"]) >= 3)
    right = right_version(task.data["files"][FILE])
    calls = [task.data["hidden"][at]["expression"] for at in task.data["broken"]]
    name = task.cluster
    assert name is not None
    # The right function for one of the calls that failed, the broken one for all others.
    renamed = task.data["files"][FILE].replace(f"def {name}(", "def broken(", 1)
    chosen = calls[0].removeprefix(name)
    mixed = f"{right.replace(f'def {name}(', 'def right(', 1)}\n{renamed}\ndef {name}(*given):\n"
    mixed += f"    return right(*given) if repr(given) == repr((lambda *a: a){chosen}) else broken(*given)\n"
    fixed = value(task, numbered([call("write_file", path=FILE, content=mixed), say("done")]))
    assert fixed == pytest.approx(0.3 / len(calls))
    worse = mixed.replace("else broken(*given)", "else None")
    assert value(task, numbered([call("write_file", path=FILE, content=worse), say("done")])) == 0.0


def test_sizes_are_checked_and_the_name_is_built_in():
    with pytest.raises(ConfigError, match="train_tasks = -1"):
        CodeRepair(sandbox=SANDBOX, train_tasks=-1)
    assert isinstance(load_environment("code_repair"), CodeRepair)
