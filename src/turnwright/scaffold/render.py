"""From answers to the text of files: what stands for each name in the templates."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from itertools import product
from math import prod
from random import Random
from string import Template

from turnwright.scaffold.answers import VERIFIABLE, Answers, Lookup
from turnwright.scaffold.code_answers import CodeAnswers

MOST_COMBINATIONS = 16
"""Rows of the made-up table: enough to be no guess, few enough to read."""

RULES = '''\
KEY = "$key"
OUTCOME = "$outcome"
FACTS = $facts
LOOKUPS = $lookups

# What is right for each combination. Made up by `turnwright init`: put your own rules here.
DECISIVE = $decisive
TABLE = {
$table
}
ANSWER = '<final_output>{{"$outcome": "{}"}}</final_output>'
TASKS = Path(__file__).parent / "tasks"


def decide(known: dict[str, str]) -> str:
    """Return what is right, from everything the tools told."""
    return TABLE[tuple(known[name] for name in DECISIVE)]


LINES = "\\n".join(f"- {', '.join(combination)}: {value}" for combination, value in TABLE.items())
INSTRUCTIONS = f"""\\
$order
Then look up here, by {" and ".join(DECISIVE)}, which $outcome is right:
{LINES}
$ending{ANSWER.format("...")}"""
'''
TOOL = '''
    @tool
    def $tool(self, $argument: str) -> dict[str, str]:
        """Return the $told of a $argument."""
        found = self._find("$argument", $argument)
        return {$returned}
'''
FUNCTION = '''

def $tool($argument: str) -> dict[str, str]:
    """Return the $told of a $argument."""
    found = find("$argument", $argument)
    return {$returned}
'''
STEPS = {
    "plain": ("`make_tasks.py`: your tasks", "`environment.py`: your tools", "the table in it, or whatever decides"),
    "stateful": (
        "`make_tasks.py`: your tasks",
        "`environment.py`: your schema and tools",
        "the table in it, or whatever decides, and which final state is right",
    ),
    "recorded": (
        "`service.py`: your live service",
        "`make_tasks.py`: your tasks",
        "`record.py`: everything a policy can sensibly ask",
        "the table in `environment.py`, or whatever decides",
    ),
    VERIFIABLE: (
        "`make_tasks.py`: your functions, with visible and hidden cases",
        "the instructions in `environment.py`",
    ),
}
JUDGED = {False: 'scorer = "final_output"', True: 'scorer = "reward"\nallow_reward_as_scorer = true'}
"""Whether hidden tests judge: those are no opinion of the reward's, so they may be the evaluation as well."""


def render(answers: Answers | CodeAnswers) -> dict[str, str]:
    """Return the text of each file, by its path in the new folder."""
    if isinstance(answers, CodeAnswers):
        kit, names = VERIFIABLE, _code_names(answers)
    else:
        kit, names = answers.kit, _names(answers)
        names["rules"] = Template(RULES).substitute(names)
    places = {
        "environment.py": f"{kit}/environment.py",
        "make_tasks.py": "verifiable/make_tasks.py" if kit == VERIFIABLE else "every/make_tasks.py",
        "run.toml": "every/run.toml",
        "README.md": "every/README.md",
        ".gitignore": "every/gitignore",
        ".github/workflows/audit.yml": "every/audit.yml",
        "tests/test_environment.py": "every/test_environment.py",
    }
    if kit == "recorded":
        places |= {"service.py": "recorded/service.py", "record.py": "recorded/record.py"}
    folder = files("turnwright.scaffold") / "templates"
    return {
        path: Template((folder / f"{place}.tmpl").read_text(encoding="utf-8")).substitute(names)
        for path, place in places.items()
    }


def invent_table(answers: Answers) -> tuple[tuple[str, ...], Mapping[tuple[str, ...], str]]:
    """Return the facts that decide, and the outcome for each combination of them.

    Every outcome is as frequent as the others, and no single fact tells it where there are two that decide.
    """
    decisive: list[str] = []
    for name, values in answers.facts.items():
        rows = prod(len(answers.facts[chosen]) for chosen in decisive) * len(values)
        if rows <= MOST_COMBINATIONS or rows // len(values) < len(answers.values):
            decisive.append(name)
    combinations = list(product(*(answers.facts[name] for name in decisive)))
    outcomes = [answers.values[index % len(answers.values)] for index in range(len(combinations))]
    random = Random(answers.name)
    for _ in range(100):
        random.shuffle(outcomes)
        if not any(_tells(combinations, outcomes, place) for place in range(len(decisive))):
            break
    return tuple(decisive), dict(zip(combinations, outcomes, strict=True))


def _tells(combinations: list[tuple[str, ...]], outcomes: list[str], place: int) -> bool:
    pairs = {(combination[place], outcome) for combination, outcome in zip(combinations, outcomes, strict=True)}
    return len(pairs) == len({value for value, _ in pairs})


def _names(answers: Answers) -> dict[str, str]:
    decisive, table = invent_table(answers)
    tools = [lookup.tool for lookup in answers.lookups]
    acting = [f"set_{answers.outcome}"] if answers.kit == "stateful" else []
    return {
        "title": _title(answers.name),
        "class_name": answers.class_name,
        "key": answers.key,
        "ids": _tuple(answers.ids),
        "facts": _mapping(answers.facts),
        "lookups": _joined(f"({_quoted(one.tool)}, {_quoted(one.argument)})" for one in answers.lookups),
        "outcome": answers.outcome,
        "decisive": _tuple(decisive),
        "table": "\n".join(f"    {_tuple(row)}: {_quoted(value)}," for row, value in table.items()),
        "order": _order(answers),
        "ending": f"Call set_{answers.outcome}, then answer " if acting else "Answer ",
        "turns": str(answers.turns + len(acting)),
        "hidden": _tuple(answers.hidden),
        "hidden_in_words": ", ".join((answers.outcome, *answers.hidden)),
        "tools_in_words": ", ".join(f"`{name}`" for name in (*tools, *acting)),
        "tools": "".join(_tools(answers, TOOL)),
        "functions": "".join(_tools(answers, FUNCTION)).rstrip("\n"),
        "calls": _joined(f"service.{name}" for name in tools),
        "arguments": _tuple(lookup.argument for lookup in answers.lookups),
        "schema": "".join(f'  "{column}" TEXT NOT NULL,\n' for column in (*answers.ids, *answers.facts)),
        "literal": ", ".join(map(_quoted, answers.values)),
        "judged": JUDGED[False],
        "steps": _steps(answers.kit),
    }


def _code_names(answers: CodeAnswers) -> dict[str, str]:
    return {
        "title": _title(answers.name),
        "class_name": answers.class_name,
        "outcome": f"{answers.function}({answers.argument})",
        "function": answers.function,
        "argument": answers.argument,
        "classes": ", ".join(answers.classes),
        "imports": "\n".join(f"    {name}," for name in sorted((*answers.classes, "VerifiableEnvironment"))),
        "look": '        yield call("run_tests")\n' if "RunsTests" in answers.classes else "",
        "turns": str(answers.turns),
        "hidden": _tuple(("solution", *answers.hidden)),
        "extra": _tuple(answers.hidden),
        "hidden_in_words": ", ".join(("the hidden tests", *answers.hidden)),
        "tools_in_words": ", ".join(f"`{name}`" for name in answers.tools),
        "judged": JUDGED[True],
        "steps": _steps(VERIFIABLE),
    }


def _title(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").capitalize()


def _steps(kit: str) -> str:
    return "\n".join(f"{number}. {step}" for number, step in enumerate(STEPS[kit], start=1))


def _order(answers: Answers) -> str:
    calls = [
        f"{'Call' if one is answers.lookups[0] else 'then'} {one.tool} with the {one.argument}"
        for one in answers.lookups
    ]
    return ", ".join(calls) + "."


def _tools(answers: Answers, template: str) -> Iterator[str]:
    for lookup in answers.lookups:
        yield Template(template).substitute(
            tool=lookup.tool, argument=lookup.argument, told=_in_words(lookup), returned=_returned(lookup)
        )


def _in_words(lookup: Lookup) -> str:
    *first, last = lookup.columns
    return f"{', '.join(first)} and {last}" if first else last


def _returned(lookup: Lookup) -> str:
    return ", ".join(f'"{column}": found["{column}"]' for column in lookup.columns)


def _tuple(values: Iterable[str]) -> str:
    return _joined(map(_quoted, values))


def _joined(parts: Iterable[str]) -> str:
    """Return parts as Python spells a tuple of them."""
    *first, last = ("", *parts)
    return f"({', '.join((*first[1:], last))}{',' * (len(first) == 1)})" if first else "()"


def _mapping(facts: Mapping[str, tuple[str, ...]]) -> str:
    return "{" + ", ".join(f"{_quoted(name)}: {_tuple(values)}" for name, values in facts.items()) + "}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
