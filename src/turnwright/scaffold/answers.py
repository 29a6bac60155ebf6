"""What decides a new environment: the answers to five questions, as they are typed.

kit       recorded, stateful or plain; for verifiable see ``code_answers.py``
outcome   decision: pay, review, refuse                      the one field that says whether an episode was good
tools     get_claim(claim): policy, amount=low|high          asked with an id; tells ids of other tools, and facts
hidden    assessor, payout                                   columns of a task that nothing may show to the agent
turns     3                                                  that a skilled person needs
"""

import builtins
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, cast, get_args

from turnwright.core.errors import ConfigError

Kit = Literal["recorded", "stateful", "plain"]

VERIFIABLE = "verifiable"
"""The kit whose answers are those of ``code_answers.py``."""
NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
WORD = r"[a-z][a-z0-9_]*"
FIELD = re.compile(rf"({WORD})\s*:\s*(.+)")
TOOL = re.compile(rf"({WORD})\s*\(\s*({WORD})\s*\)\s*:\s*(.+)")
COLUMN = re.compile(rf"({WORD})(?:\s*=\s*(.+))?")
USUAL_VALUES = ("low", "high")
RESERVED = (
    *("id", "prompt", "cluster", "gold", "records", "task", "tasks", "seed", "db", "tools", "reward", "oracle"),
    *("close", "respond", "opening", "scripted", "instructions", "resources", "resource", "recordings", "replay"),
)
"""Names that a task or an environment uses already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """One tool that looks something up.

    Example: ``Lookup(tool="get_claim", argument="claim", ids=("policy",), facts={"amount": ("low", "high")})``
    """

    tool: str
    argument: str
    """The id it is asked with."""
    ids: tuple[str, ...]
    """Ids it tells, for other tools to be asked with."""
    facts: dict[str, tuple[str, ...]]
    """Facts it tells, with the values each can have."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Everything it tells."""
        return (*self.ids, *self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers, checked."""

    name: str
    kit: Kit
    outcome: str
    values: tuple[str, ...]
    lookups: tuple[Lookup, ...]
    hidden: tuple[str, ...]
    turns: int

    @property
    def class_name(self) -> str:
        """The environment's class."""
        return class_name_of(self.name)

    @property
    def key(self) -> str:
        """The id that a task's prompt gives."""
        return self.lookups[0].argument

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, the one in the prompt first."""
        return tuple(dict.fromkeys(lookup.argument for lookup in self.lookups))

    @property
    def facts(self) -> dict[str, tuple[str, ...]]:
        """All facts with their values."""
        return {name: values for lookup in self.lookups for name, values in lookup.facts.items()}


def read_answers(
    name: str, *, kit: str, outcome: str, tools: Sequence[str], hidden: Sequence[str], turns: int
) -> Answers:
    """Check the answers as they were typed.

    Raises ConfigError that names the answer, what was expected and an example.
    """
    check_name(name)
    if kit not in get_args(Kit):
        raise ConfigError(f"kit {kit!r}: expected one of {', '.join((*get_args(Kit), VERIFIABLE))}")
    if turns <= len(tools):
        raise ConfigError(
            f"turns {turns}: expected the turns a skilled person needs, one for each of the {len(tools)} tools and one "
            "to answer at least"
        )
    field, values = _read_outcome(outcome)
    answers = Answers(
        name=name,
        kit=cast(Kit, kit),
        outcome=field,
        values=values,
        lookups=_read_lookups(tools),
        hidden=tuple(column.strip() for column in hidden),
        turns=turns,
    )
    _check_names(answers)
    _check_chain(answers)
    combinations = prod(map(len, answers.facts.values()))
    if combinations < len(values):
        raise ConfigError(
            f"outcome {outcome!r}: {len(values)} values need at least as many combinations of facts, and the tools "
            f"tell {combinations}: add a fact, such as 'get_claim(claim): amount=low|medium|high'"
        )
    return answers


def class_name_of(name: str) -> str:
    """Return the class of an environment called ``name``."""
    return "".join(part.capitalize() for part in re.split("[_-]", name))


def check_name(name: str) -> None:
    """Raise ConfigError when ``name`` cannot be that of a folder and a class."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"name {name!r}: expected lowercase letters, digits and single dashes, such as 'claims-desk'")


def require_own_name(name: str, taken: Sequence[str] = ()) -> None:
    """Raise ConfigError when ``name`` means something already, to Python or to an environment."""
    if (
        not re.fullmatch(WORD, name)
        or name in (*RESERVED, *taken)
        or keyword.iskeyword(name)
        or hasattr(builtins, name)
    ):
        raise ConfigError(
            f"name {name!r}: expected a lowercase identifier that is no word of Python's own and none of "
            f"{', '.join((*RESERVED, *taken))}"
        )


def _read_outcome(text: str) -> tuple[str, tuple[str, ...]]:
    found = FIELD.fullmatch(text.strip())
    values = tuple(value.strip() for value in found[2].split(",")) if found else ()
    if found is None or len(set(values)) != len(values) or len(values) < 2 or not all(values):
        raise ConfigError(f"outcome {text!r}: expected a field and its values, such as 'decision: pay, review, refuse'")
    return found[1], values


def _read_lookups(texts: Sequence[str]) -> tuple[Lookup, ...]:
    found = [TOOL.fullmatch(text.strip()) for text in texts]
    bad = next((text for text, match in zip(texts, found, strict=True) if match is None), "" if not texts else None)
    if bad is not None:
        raise ConfigError(
            f"tool {bad!r}: expected a name, the id it is asked with and what it tells, such as "
            "'get_claim(claim): policy, amount=low|high'"
        )
    matches = [match for match in found if match is not None]
    ids = {match[2] for match in matches}
    return tuple(_read_lookup(match, ids) for match in matches)


def _read_lookup(match: re.Match[str], ids: set[str]) -> Lookup:
    tool, argument, told = match[1], match[2], match[3]
    columns: dict[str, tuple[str, ...] | None] = {}
    for text in told.split(","):
        column = COLUMN.fullmatch(text.strip())
        values = tuple(value.strip() for value in column[2].split("|")) if column and column[2] else None
        if column is None or (values is not None and (len(values) < 2 or not all(values))):
            raise ConfigError(
                f"tool {tool!r} tells {text.strip()!r}: expected a column, with its values if it is a fact, such as "
                "'amount=low|high'"
            )
        columns[column[1]] = values
    return Lookup(
        tool=tool,
        argument=argument,
        ids=tuple(name for name, values in columns.items() if values is None and name in ids),
        facts={name: values or USUAL_VALUES for name, values in columns.items() if values or name not in ids},
    )


def _check_names(answers: Answers) -> None:
    """Every name means one thing."""
    facts = [name for lookup in answers.lookups for name in lookup.facts]
    names = [*(lookup.tool for lookup in answers.lookups), *answers.ids, *facts, answers.outcome, *answers.hidden]
    for name in names:
        if names.count(name) > 1:
            told = f"hidden {name!r} is told by a tool or is the outcome" if name in answers.hidden else repr(name)
            raise ConfigError(
                f"{told}: expected every tool, id, fact, hidden column and the outcome to have its own name"
            )
        require_own_name(name)


def _check_chain(answers: Answers) -> None:
    """Each tool can be asked with what the prompt and the tools before it tell."""
    known = {answers.key}
    for lookup in answers.lookups:
        if lookup.argument not in known:
            raise ConfigError(
                f"tool {lookup.tool!r} is asked with {lookup.argument!r}, which neither the prompt ({answers.key}) nor "
                f"a tool before it tells: let one tell it, as in '{answers.lookups[0].tool}({answers.key}): "
                f"{lookup.argument}'"
            )
        known |= set(lookup.ids)
