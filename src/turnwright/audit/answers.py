"""Ground truth: where a task has it, how it is stated, and calls of tools that need no knowledge."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from turnwright.core.message import Message, ToolSpec
from turnwright.core.task import Task
from turnwright.environments.scripts import call, say

PLACEHOLDERS: Mapping[str, Any] = {"integer": 0, "number": 0, "boolean": True, "array": [], "object": {}}


def gold_of(task: Task) -> Mapping[str, Any] | None:
    """Return the task's ground truth where it is an object of fields, as ``final_output`` answers need it."""
    gold = task.data.get("gold")
    return cast("Mapping[str, Any]", gold) if isinstance(gold, Mapping) and gold else None


def answer_block(fields: Mapping[str, Any]) -> str:
    """Return the ordinary answer format."""
    return f"<final_output>{json.dumps(dict(fields), ensure_ascii=False)}</final_output>"


def gold_script(task: Task, gold: Mapping[str, Any], tools: Sequence[ToolSpec]) -> tuple[Message, ...]:
    """Return messages that call every tool once, with arguments from prompt and data, and then state the truth."""
    known = {**task.data, **prompt_lines(task)}
    return (*(call(tool.name, **guess_arguments(tool, known)) for tool in tools), say(answer_block(gold)))


def prompt_lines(task: Task) -> dict[str, str]:
    """Return the ``name: value`` lines of a prompt."""
    return dict(line.split(": ", 1) for line in task.prompt.splitlines() if ": " in line)


def guess_arguments(tool: ToolSpec, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the required arguments: known values by name, otherwise anything of the right type."""
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    return {
        name: known[name] if name in known else _anything(properties.get(name, {}))
        for name in tool.parameters.get("required", ())
    }


def _anything(rule: Mapping[str, Any]) -> Any:
    return rule["enum"][0] if rule.get("enum") else PLACEHOLDERS.get(str(rule.get("type")), "x")
