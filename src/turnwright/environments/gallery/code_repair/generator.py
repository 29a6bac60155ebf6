"""Tasks of code_repair: a pure function of seed and split.

    family, constants --source--> every mutant --40 drawn calls--> those that a call tells apart --> shuffled, dealt

Calls are drawn per function; what the right source returns for them is what tests expect. Of the calls that show a bug
one is a visible test, others are hidden, and hidden tests that pass from the start watch over what was right.
"""

import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.gallery.code_repair.families import FAMILIES, Family
from turnwright.environments.gallery.code_repair.mutations import mutant, mutations, tidy

NUM_CALLS = 40
NUM_VISIBLE, NUM_HIDDEN = 3, 10
MAX_HIDDEN_FAILING = 4
FILE = "solution.py"

Answer = tuple[str, str]
"""What a call gives: ("expected", a literal) or ("raises", a name)."""


@lru_cache(maxsize=16)
def make_tasks(split: Split, size: int, seed: int) -> tuple[Task, ...]:
    """Return so many tasks, or all there are; the families take turns."""
    sources = [_repairs(family, seed) for family in FAMILIES if family.split == split]
    tasks: list[Task] = []
    while sources and len(tasks) < size:
        for source in list(sources):
            made = next(source, None)
            if made is None:
                sources.remove(source)
            elif len(tasks) < size:
                tasks.append(_task(split, seed, len(tasks), *made))
    return tuple(tasks)


def right_version(source: str) -> str:
    """Return what a function of the families should be, found by the docstring of a broken one."""
    head, _, rest = source.partition('"""')
    docstring = rest.partition('"""')[0]
    for family in FAMILIES:
        if head.startswith(f"def {family.name}("):
            for variant in family.variants():
                if variant.partition('"""')[2].startswith(docstring):
                    return tidy(variant)
    raise LookupError(f"no family has a function {head.strip()!r} with the docstring {docstring!r}")


def _repairs(
    family: Family, seed: int
) -> Iterator[tuple[Family, str, list[dict[str, str]], list[dict[str, str]], list[int]]]:
    """Yield the bugs of a family that some call shows: broken source, visible tests, hidden tests, those that fail."""
    chance = generator("code_repair", seed, family.name)
    variants = list(family.variants())
    chosen = [(variant, *mutation) for variant in variants for mutation in mutations(variant)]
    chance.shuffle(chosen)
    seen = set(map(tidy, variants))
    for variant, place, way in chosen:
        broken = mutant(variant, place, way)
        if broken in seen:
            continue
        seen.add(broken)
        calls = sorted({f"{family.name}({family.draw(chance)})" for _ in range(NUM_CALLS)})
        chance.shuffle(calls)
        right, wrong = _function(variant, family.name), _function(broken, family.name)
        expected = {call: _answer(right, call, family.name) for call in calls}
        failing = [call for call in calls if _answer(wrong, call, family.name) != expected[call]]
        if len(failing) < 2:
            continue
        passing = [call for call in calls if call not in failing]
        yield (family, broken, *_deal(chance, failing, passing, expected))


def _deal(
    chance: random.Random, failing: list[str], passing: list[str], expected: dict[str, Answer]
) -> tuple[list[dict[str, str]], list[dict[str, str]], list[int]]:
    others = NUM_VISIBLE - 1
    first, *failing = failing
    visible = [first, *passing[:others]]
    # Where hardly any call passes, more that fail make up the number.
    hidden = [*failing[:MAX_HIDDEN_FAILING], *passing[others:], *failing[MAX_HIDDEN_FAILING:]][:NUM_HIDDEN]
    chance.shuffle(visible)
    chance.shuffle(hidden)
    entries = [
        [{"expression": call, expected[call][0]: expected[call][1]} for call in calls] for calls in (visible, hidden)
    ]
    return entries[0], entries[1], [at for at, call in enumerate(hidden) if call in failing]


def _task(
    split: Split,
    seed: int,
    index: int,
    family: Family,
    broken_source: str,
    visible: list[dict[str, str]],
    hidden: list[dict[str, str]],
    broken: list[int],
) -> Task:
    return Task(
        id=f"repair-{seed}-{split}-{index}",
        prompt=f"function: {family.name}\nfile: {FILE}",
        data={"files": {FILE: broken_source}, "visible": visible, "hidden": hidden, "broken": broken},
        split=split,
        cluster=family.name,
    )


def _function(source: str, name: str) -> Callable[..., Any]:
    """Define a function of ours, or a mutant of it, here: none of them loops without end or touches anything."""
    names: dict[str, Any] = {}
    exec(source, names)
    return names[name]


def _answer(function: Callable[..., Any], call: str, name: str) -> Answer:
    try:
        value = eval(call, {name: function})
    except Exception as error:  # a planted bug may raise anything
        return "raises", type(error).__name__
    return "expected", repr(value)
