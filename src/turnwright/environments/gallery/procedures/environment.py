"""Generated procedures: every task brings its own small world - other words, tools, records and rules.

What the shipped policy is trained on: calling the tools a procedure names, copying ids and words, reading results,
calling a busy tool again, deciding by rules that are written in the prompt. No procedure of it ever comes back.

A procedure has one to three lookups. The first one's record holds the ids the others ask for; every record holds one
fact; each output field follows a fact, maps one, or is decided by the first fitting rule over two.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from random import Random
from typing import Any

from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError, ToolError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.answers import final_answer, right_share
from turnwright.environments.base import Environment
from turnwright.environments.gallery.procedures.words import (
    BUSY,
    CLOSINGS,
    ENTITIES,
    FACTS,
    OPENINGS,
    OUTPUTS,
    RETRY,
    STEPS,
    SYLLABLES,
    VALUES,
    VERBS,
)
from turnwright.environments.scripts import Script, call, say
from turnwright.environments.tools import Tool

INVENTED_SHARE = 0.1
"""Share of words made up from syllables, so that copying does not depend on known words."""
BUSY_SHARE = 0.4
"""Share of tasks in which one tool is busy once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """One tool: what it is asked with, and the fact it tells."""

    tool: str
    entity: str
    fact: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of an output field's rules: the facts it asks for, and the value it gives."""

    conditions: tuple[tuple[str, str], ...]
    """(fact, value) pairs that must all hold; none = always."""
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One output field: a fact taken over, or rules of which the first that fits decides."""

    name: str
    same_as: str = ""
    rules: tuple[Rule, ...] = ()

    def decide(self, facts: Mapping[str, str]) -> str:
        """Return the field's value for the facts of a world."""
        if self.same_as:
            return facts[self.same_as]
        return next(rule.value for rule in self.rules if all(facts[fact] == value for fact, value in rule.conditions))


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """One generated procedure with its world."""

    lookups: tuple[Lookup, ...]
    fields: tuple[Field, ...]
    text: str
    records: Mapping[str, Mapping[str, Mapping[str, str]]]
    """Tool -> id -> record."""
    subject: str
    """Id the task asks about."""
    gold: Mapping[str, str]
    busy_tool: str
    busy_message: str


class GeneratedProcedures(Environment):
    """As many tasks as asked for, each with a procedure of its own."""

    def __init__(self, seed: int = 0, size: int = 1000, max_lookups: int = 3, max_fields: int = 3) -> None:
        """Take the seed of the procedures, tasks per split, and the largest procedure to make."""
        for name, value, most in (("max_lookups", max_lookups, 3), ("max_fields", max_fields, 3)):
            if not 1 <= value <= most:
                raise ConfigError(f"procedures: {name} = {value} is out of range: expected 1 to {most}")
        self._seed, self._size = seed, size
        self._limits = (max_lookups, max_fields)
        self.typical_turns = max_lookups + 2

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield the tasks of a split; procedures are made when they are asked for."""
        for index in range(self._size):
            key = f"{split}-{index}"
            procedure = self._procedure(key)
            yield Task(
                id=f"procedures-{self._seed}-{key}",
                prompt=f"{procedure.lookups[0].entity}: {procedure.subject}",
                data={"key": key, "gold": dict(procedure.gold)},
                split=split,
                cluster=f"{self._seed}-{key}",
            )

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode in the task's own world."""
        super().open(task, seed)
        self._current = self._procedure(task.data["key"])
        self.instructions = self._current.text
        self._busy_tool = self._current.busy_tool
        self._tools = {lookup.tool: _as_tool(lookup) for lookup in self._current.lookups}

    def tools(self) -> Mapping[str, Tool]:
        """Return the tools of the open task; there are none before."""
        return getattr(self, "_tools", {})

    def look_up(self, tool: str, entity_id: str) -> Mapping[str, str]:
        """Answer one lookup; raises ToolError for an unknown id, or when the tool is busy for once."""
        if tool == self._busy_tool:
            self._busy_tool = ""
            raise ToolError(self._current.busy_message)
        record = self._current.records[tool].get(entity_id)
        if record is None:
            raise ToolError(f"no {entity_id}")
        return record

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return the share of right fields; nothing for an answer that cannot be read."""
        return {"fields": right_share(final_answer(episode), episode.task.data["gold"])}

    def oracle(self, task: Task) -> Script:
        """Look everything up, a busy tool again, and decide by the rules."""
        procedure = self._procedure(task.data["key"])
        first, *others = procedure.lookups
        record = yield from _insist(first, task.prompt.rpartition(": ")[2])
        facts = {first.fact: record[first.fact]}
        for lookup in others:
            facts[lookup.fact] = (yield from _insist(lookup, record[lookup.entity]))[lookup.fact]
        yield say(_answer({field.name: field.decide(facts) for field in procedure.fields}))

    def _procedure(self, key: str) -> Procedure:
        return make_procedure(self._seed, key, *self._limits)


@lru_cache(maxsize=4096)
def make_procedure(seed: int, key: str, max_lookups: int, max_fields: int) -> Procedure:
    """Make the procedure named by seed and key."""
    random = generator("procedures", seed, key)
    words = _Words(random)
    lookups = tuple(_make_lookup(random, words) for _ in range(random.randint(1, max_lookups)))
    fields = tuple(_make_field(random, words, lookups) for _ in range(random.randint(1, max_fields)))
    records, subject, facts = _make_world(random, lookups)
    gold = {field.name: field.decide(facts) for field in fields}
    busy = random.choice(lookups).tool if random.random() < BUSY_SHARE else ""
    return Procedure(
        lookups=lookups,
        fields=fields,
        text=_write(random, lookups, fields),
        records=records,
        subject=subject,
        gold=gold,
        busy_tool=busy,
        busy_message=random.choice(BUSY),
    )


class _Words:
    """Draws words without repeating one within a procedure."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._used: set[str] = set()

    def draw(self, choices: tuple[str, ...]) -> str:
        while True:
            word = self._random.choice(choices)
            if self._random.random() < INVENTED_SHARE:
                word = "".join(self._random.choice(SYLLABLES) for _ in range(self._random.randint(2, 3)))
            if word not in self._used:
                self._used.add(word)
                return word

    def entity(self) -> str:
        # Ids begin with the entity's letter: two entities of one letter would share ids.
        while True:
            word = self.draw(ENTITIES)
            if word[0] not in (used[7:] for used in self._used if used.startswith("letter ")):
                self._used.add(f"letter {word[0]}")
                return word


def _make_lookup(random: Random, words: _Words) -> Lookup:
    entity = words.entity()
    values = tuple(words.draw(VALUES) for _ in range(random.randint(2, 4)))
    return Lookup(tool=f"{random.choice(VERBS)}_{entity}", entity=entity, fact=words.draw(FACTS), values=values)


def _make_field(random: Random, words: _Words, lookups: tuple[Lookup, ...]) -> Field:
    name = words.draw(FACTS)
    kind = random.random()
    if kind < 0.25:
        return Field(name=name, same_as=random.choice(lookups).fact)
    results = tuple(words.draw(OUTPUTS) for _ in range(random.randint(2, 3)))
    if kind < 0.6 or len(lookups) == 1:
        lookup = random.choice(lookups)
        rules = [
            Rule(conditions=((lookup.fact, value),), value=results[i % len(results)])
            for i, value in enumerate(lookup.values)
        ]
        return Field(name=name, rules=(*rules[:-1], Rule(conditions=(), value=rules[-1].value)))
    one, other = random.sample(lookups, 2)
    rules = []
    for i in range(random.randint(2, 4)):
        conditions = [(one.fact, random.choice(one.values)), (other.fact, random.choice(other.values))]
        rules.append(Rule(conditions=tuple(conditions[: random.randint(1, 2)]), value=results[i % len(results)]))
    return Field(name=name, rules=(*rules, Rule(conditions=(), value=random.choice(results))))


def _make_world(
    random: Random, lookups: tuple[Lookup, ...]
) -> tuple[dict[str, dict[str, dict[str, str]]], str, dict[str, str]]:
    """Deal two records per tool; return them, the subject's id and the facts of its chain."""
    ids = {
        lookup.entity: [f"{lookup.entity[0].upper()}{digit}" for digit in random.sample(range(10), 2)]
        for lookup in lookups
    }
    records: dict[str, dict[str, dict[str, str]]] = {}
    facts: dict[str, str] = {}
    subject = random.randrange(2)
    for position, lookup in enumerate(lookups):
        records[lookup.tool] = {}
        for index in random.sample(range(2), 2):
            fact = random.choice(lookup.values)
            links = {other.entity: ids[other.entity][index] for other in lookups[1:]} if position == 0 else {}
            entries = [*links.items(), (lookup.fact, fact)]
            random.shuffle(entries)
            records[lookup.tool][ids[lookup.entity][index]] = dict(entries)
            if index == subject:
                facts[lookup.fact] = fact
    return records, ids[lookups[0].entity][subject], facts


def _write(random: Random, lookups: tuple[Lookup, ...], fields: tuple[Field, ...]) -> str:
    """Write the procedure down."""
    first, *others = lookups
    step = random.choice(STEPS)
    given = _listed([*(f"the {other.entity}" for other in others), f"the {first.fact}"])
    lines = [random.choice(OPENINGS).format(entity=first.entity), "", "Steps:"]
    lines.append("1. " + step.format(tool=first.tool, which="the", entity=first.entity, given=given))
    for number, other in enumerate(others, start=2):
        lines.append(
            f"{number}. " + step.format(tool=other.tool, which="that", entity=other.entity, given=f"the {other.fact}")
        )
    lines += [random.choice(RETRY), ""]
    for field in fields:
        if field.same_as:
            lines += [f"{field.name.capitalize()}: same as the {field.same_as}.", ""]
            continue
        ordered = any(len(rule.conditions) > 1 for rule in field.rules)
        lines.append(f"{field.name.capitalize()}{', the first rule that fits' if ordered else ''}:")
        for rule in field.rules:
            asked = ", ".join(f"{fact} {value}" for fact, value in rule.conditions) or "all others"
            lines.append(f"- {asked}: {rule.value}")
        lines.append("")
    example = {field.name: field.rules[0].value if field.rules else "..." for field in fields}
    return "\n".join([*lines, random.choice(CLOSINGS), _answer(example)])


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _answer(values: Mapping[str, str]) -> str:
    return f"<final_output>{json.dumps(dict(values))}</final_output>"


def _insist(lookup: Lookup, entity_id: str) -> Generator[Message, tuple[Message, ...], dict[str, str]]:
    while True:
        (message,) = yield call(lookup.tool, **{lookup.entity: entity_id})
        result: dict[str, str] = json.loads(message.content)
        if "error" not in result:
            return result


def _as_tool(lookup: Lookup) -> Tool:
    parameters = {"type": "object", "properties": {lookup.entity: {"type": "string"}}, "required": [lookup.entity]}
    spec = ToolSpec(name=lookup.tool, description=f"Look up one {lookup.entity}.", parameters=parameters)
    return Tool(spec=spec, function=partial(_look_up, lookup))


def _look_up(lookup: Lookup, environment: GeneratedProcedures, /, **arguments: Any) -> Mapping[str, str]:
    return environment.look_up(lookup.tool, arguments[lookup.entity])


def demonstration_texts(environment: GeneratedProcedures, count: int) -> Iterable[str]:
    """Yield the texts of some procedures, to build a tokenizer from."""
    for task, _ in zip(environment.tasks("train"), range(count), strict=False):
        procedure = environment._procedure(task.data["key"])
        records = [json.dumps(record) for world in procedure.records.values() for record in world.values()]
        calls = [json.dumps({"name": l.tool, "arguments": {l.entity: "A1"}}) for l in procedure.lookups]  # noqa: E741
        yield "\n".join([procedure.text, *records, *calls, _answer(procedure.gold), task.prompt])
