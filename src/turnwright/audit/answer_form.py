"""How an environment wants to be answered, read from the final replies of its solutions.

<final_output>{"decision": "pay"}</final_output>    a tag around a JSON object
{"decision": "pay"}                                a JSON object
It ships to Oslo.                                  a text that is the same on every task, around a value
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from turnwright.audit.answers import gold_of
from turnwright.core.episode import Episode
from turnwright.core.task import Task

BLOCK = re.compile(r"<([A-Za-z_][\w-]*)>(.*?)</\1>", re.DOTALL)
VALUE = "answer"
"""Name of the field of an answer that is a bare value."""
MANY_LABELS = 100
"""Labels of one field that a play knows of at most."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """A way of writing an answer.

    Example: ``AnswerForm(before="<answer>", after="</answer>", tag="answer", is_object=False)``.
    """

    before: str
    after: str
    tag: str = ""
    """Name of the tag around the answer; empty without one."""
    is_object: bool
    """A JSON object stands between; otherwise the bare value of the one field "answer"."""

    def write(self, fields: Fields) -> str:
        """Return an answer with these values."""
        return self.wrap(json.dumps(dict(fields), ensure_ascii=False) if self.is_object else _text(fields[VALUE]))

    def wrap(self, body: str) -> str:
        """Return ``body`` where an answer is expected."""
        return f"{self.before}{body}{self.after}"


# Without slots, which leave no room for what is worked out once.
@dataclass(frozen=True, kw_only=True)
class Truths:
    """The right answers of tasks and the form they are written in."""

    form: AnswerForm
    by_task: Mapping[str, Fields]
    """Right values by task id."""

    def fields_of(self, task: Task) -> Sequence[str]:
        """Return the fields that a task asks for; those of the first task where that is not known."""
        return tuple(self.by_task.get(task.id) or next(iter(self.by_task.values())))

    @cached_property
    def labels(self) -> Mapping[str, Sequence[Any]]:
        """Return the different values of each field, in the order of the tasks."""
        return {name: tuple(value for value, _ in some.values()) for name, some in self._occurrences.items()}

    def labels_for(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return, for each field a task asks for, values that *other* tasks have there; "?" where none has any."""
        own = self.by_task.get(task.id, {})
        found: dict[str, Sequence[Any]] = {}
        for name in self.fields_of(task):
            here = _key(own[name]) if name in own else ""
            some = itertools.islice(self._occurrences.get(name, {}).items(), MANY_LABELS)
            found[name] = tuple(value for key, (value, count) in some if count > (key == here)) or ("?",)
        return found

    @cached_property
    def _occurrences(self) -> Mapping[str, Mapping[str, tuple[Any, int]]]:
        """Values and how often they occur, by field and by a key that can be compared."""
        found: dict[str, dict[str, tuple[Any, int]]] = {}
        for fields in self.by_task.values():
            for name, value in fields.items():
                some = found.setdefault(name, {})
                some[_key(value)] = (value, some.get(_key(value), (value, 0))[1] + 1)
        return found

    @property
    def commonest(self) -> Fields:
        """Return the most frequent answer."""
        return json.loads(Counter(map(json.dumps, map(dict, self.by_task.values()))).most_common(1)[0][0])


def read_truths(episodes: Iterable[Episode]) -> Truths | None:
    """Read the right answers from solved episodes; None where they say nothing about the tasks.

    Where the final reply is the same on every task and no task has ground truth, the state of the world is graded.
    """
    answered = {e.key.task_id: e for e in episodes if e.turns and not e.turns[-1].reply.tool_calls}
    texts = {name: episode.answer.strip() for name, episode in answered.items()}
    constant = len(texts) > 1 and len(set(texts.values())) == 1
    if not any(texts.values()) or (constant and not all(gold_of(episode.task) for episode in answered.values())):
        return None
    found = _blocks(texts) or _objects(texts) or _values(texts)
    if found is None:
        return None
    form, bodies = found
    parsed = {name: _object(body) for name, body in bodies.items()}
    objects = {name: fields for name, fields in parsed.items() if fields}
    if len(objects) == len(bodies):
        return Truths(form=form, by_task=objects)
    bare = AnswerForm(before=form.before, after=form.after, tag=form.tag, is_object=False)
    return Truths(form=bare, by_task={name: {VALUE: body} for name, body in bodies.items()})


def gold_truths(tasks: Iterable[Task]) -> Truths | None:
    """Return the ground truth of tasks in the ordinary answer format; None where they have none."""
    golds = {task.id: gold for task in tasks if (gold := gold_of(task)) is not None}
    form = AnswerForm(before="<final_output>", after="</final_output>", tag="final_output", is_object=True)
    return Truths(form=form, by_task=golds) if golds else None


def _blocks(texts: Mapping[str, str]) -> tuple[AnswerForm, dict[str, str]] | None:
    """Read the last block of the tag that every text has."""
    found = {name: BLOCK.findall(text) for name, text in texts.items()}
    tags = {blocks[-1][0] if blocks else "" for blocks in found.values()}
    if len(tags) != 1 or tags == {""}:
        return None
    (tag,) = tags
    form = AnswerForm(before=f"<{tag}>", after=f"</{tag}>", tag=tag, is_object=True)
    return form, {name: blocks[-1][1].strip() for name, blocks in found.items()}


def _objects(texts: Mapping[str, str]) -> tuple[AnswerForm, dict[str, str]] | None:
    """Read the one JSON object of each text."""
    parts = {name: _outer_braces(text) for name, text in texts.items()}
    if not all(_object(body) for _, body, _ in parts.values()):
        return None
    before, after = ({part[index] for part in parts.values()} for index in (0, 2))
    form = AnswerForm(
        before=before.pop() if len(before) == 1 else "", after=after.pop() if len(after) == 1 else "", is_object=True
    )
    return form, {name: body for name, (_, body, _) in parts.items()}


def _values(texts: Mapping[str, str]) -> tuple[AnswerForm, dict[str, str]] | None:
    """Read what differs between texts that begin and end alike."""
    every = list(texts.values())
    before = _common_beginning(every)
    after = _common_beginning([text[len(before) :][::-1] for text in every])[::-1] if len(every) > 1 else ""
    bodies = {name: text[len(before) : len(text) - len(after)] for name, text in texts.items()}
    return (AnswerForm(before=before, after=after, is_object=False), bodies) if all(bodies.values()) else None


def _common_beginning(texts: Sequence[str]) -> str:
    """Return how all texts begin, up to the end of a word; nothing for a single text."""
    if len(texts) < 2:
        return ""
    shortest, longest = min(texts), max(texts)
    length = next((i for i, (a, b) in enumerate(zip(shortest, longest, strict=False)) if a != b), len(shortest))
    while length and longest[length - 1].isalnum():
        length -= 1
    return longest[:length]


def _outer_braces(text: str) -> tuple[str, str, str]:
    start, end = text.find("{"), text.rfind("}") + 1
    return (text[:start], text[start:end], text[end:]) if 0 <= start < end else (text, "", "")


def _object(text: str) -> Fields | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("Fields", parsed) if isinstance(parsed, dict) else None


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
