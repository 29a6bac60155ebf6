"""Answers without work: what a policy that looks nothing up could say, honest or trying to fool a grader."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from turnwright.core.message import Message, ToolSpec
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.environments.scripts import call, say

MAJORITY_CLASS = "majority_class"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleAnswer:
    """A way to answer a task without looking anything up."""

    name: str
    code: str
    """Finding when it solves more tasks than naming the majority class."""
    text: Callable[[Task], str]


def gold_of(task: Task) -> Mapping[str, Any] | None:
    """Return the task's ground truth where it is an object of fields, as ``final_output`` answers need it."""
    gold = task.data.get("gold")
    return cast("Mapping[str, Any]", gold) if isinstance(gold, Mapping) and gold else None


def answer_block(fields: Mapping[str, Any]) -> str:
    """Return the ordinary answer format."""
    return f"<final_output>{json.dumps(dict(fields), ensure_ascii=False)}</final_output>"


def idle_answers(tasks: Sequence[Task], instructions: str, *, seed: int) -> tuple[IdleAnswer, ...]:
    """Return the answers to try; those in the answer format need ground truth to know fields and labels from."""
    plain = (
        IdleAnswer(name="nothing", code="floor.high", text=lambda task: ""),
        IdleAnswer(name="echo", code="floor.high", text=lambda task: f"{instructions}\n{task.prompt}"),
    )
    golds = [gold for task in tasks if (gold := gold_of(task)) is not None]
    return (*plain, *_labelled(golds, seed)) if golds else plain


def majority_share(tasks: Sequence[Task]) -> float:
    """Return the share of tasks that have the most frequent gold answer; 0 without ground truth."""
    counts = Counter(json.dumps(gold, sort_keys=True) for task in tasks if (gold := gold_of(task)) is not None)
    return counts.most_common(1)[0][1] / len(tasks) if counts else 0.0


def gold_script(task: Task, gold: Mapping[str, Any], tools: Sequence[ToolSpec]) -> tuple[Message, ...]:
    """Return messages that call every tool once, with arguments from prompt and data, and then state the truth."""
    known = {**task.data, **dict(line.split(": ", 1) for line in task.prompt.splitlines() if ": " in line)}
    calls = [
        call(tool.name, **{name: _argument(name, rule, known) for name, rule in _required(tool)}) for tool in tools
    ]
    return (*calls, say(answer_block(gold)))


def _labelled(golds: Sequence[Mapping[str, Any]], seed: int) -> tuple[IdleAnswer, ...]:
    labels = _labels(golds)
    constant = json.loads(Counter(json.dumps(dict(gold)) for gold in golds).most_common(1)[0][0])
    joined = {name: ", ".join(map(str, values)) for name, values in labels.items()}
    letters = {name: _commonest_letter(values) for name, values in labels.items()}
    everything = " ".join(joined.values())

    def random_labels(task: Task) -> str:
        draw = generator("audit.random_answer", seed, task.id)
        return answer_block({name: draw.choice(values) for name, values in labels.items()})

    def thinking(task: Task) -> str:
        gold = gold_of(task) or {}
        wrong = {name: next((v for v in values if v != gold.get(name)), "?") for name, values in labels.items()}
        return f"<think>{everything} {answer_block(gold)}</think>{answer_block(wrong)}"

    return (
        IdleAnswer(name="random", code="floor.high", text=random_labels),
        IdleAnswer(name="constant", code="floor.high", text=lambda task: answer_block(constant)),
        IdleAnswer(name="all_labels", code="grader.multi_label", text=lambda task: answer_block(joined)),
        IdleAnswer(name="one_letter", code="grader.substring", text=lambda task: answer_block(letters)),
        IdleAnswer(name="thinking", code="grader.thinking", text=thinking),
    )


def _labels(golds: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    labels: dict[str, list[Any]] = {}
    for gold in golds:
        for name, value in gold.items():
            if value not in labels.setdefault(name, []):
                labels[name].append(value)
    return labels


def _commonest_letter(values: Sequence[Any]) -> str:
    counts = Counter(letter for value in values for letter in set(str(value).casefold()) if letter.isalnum())
    return counts.most_common(1)[0][0] if counts else "a"


def _required(tool: ToolSpec) -> list[tuple[str, Mapping[str, Any]]]:
    properties = tool.parameters.get("properties", {})
    return [(name, properties.get(name, {})) for name in tool.parameters.get("required", ())]


def _argument(name: str, rule: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """Return the value that prompt or data give this name, otherwise one of the right type."""
    if name in known:
        return known[name]
    placeholders = {"integer": 0, "number": 0, "boolean": True, "array": [], "object": {}}
    return rule["enum"][0] if rule.get("enum") else placeholders.get(str(rule.get("type")), "x")
