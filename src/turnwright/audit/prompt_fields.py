"""What a task shows and what it hides, as columns: one value per task, by name."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from turnwright.audit.answers import gold_of
from turnwright.core.episode import Episode
from turnwright.core.task import Task

LINE = re.compile(r"^\s*(?:[-*]\s+)?([^:\n]{1,60}?)\s*[:=]\s*(\S.*?)\s*$")

Columns = Mapping[str, Sequence[str | None]]
"""By name: one text per task, None where a task has none."""


def shown_text(episode: Episode) -> str:
    """Return what the agent reads at first, besides the instructions."""
    return "\n".join(message.content for message in episode.opening if message.role != "system")


def prompt_fields(text: str) -> dict[str, str]:
    """Return the ``name: value`` lines of a prompt; of a name that occurs twice, the first."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            found.setdefault(match.group(1), match.group(2))
    return found


def shown_columns(episodes: Sequence[Episode]) -> Columns:
    """Return the prompt fields, and the columns of the tasks' data whose values the prompts quote in prose."""
    texts = [shown_text(episode) for episode in episodes]
    rows = [prompt_fields(text) for text in texts]
    columns: dict[str, list[str | None]] = {
        f"prompt field {name!r}": [row.get(name) for row in rows] for name in dict.fromkeys(n for r in rows for n in r)
    }
    data = [
        flatten({name: value for name, value in episode.task.data.items() if name != "gold"}) for episode in episodes
    ]
    for name in dict.fromkeys(n for row in data for n in row):
        quoted = [
            row.get(name) if _quotes(text, row.get(name)) else None for text, row in zip(texts, data, strict=True)
        ]
        if any(quoted):
            columns[f"data column {name!r}, quoted in the prompt"] = quoted
    return columns


def gold_columns(tasks: Sequence[Task]) -> Columns:
    """Return the fields of the ground truth that differ between tasks: a field that never does is no question."""
    rows = [flatten(gold_of(task) or {}) for task in tasks]
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(n for row in rows for n in row)}
    return {name: values for name, values in columns.items() if len(set(values)) > 1}


def flatten(value: object, path: str = "") -> dict[str, str]:
    """Return the scalars in a JSON value as text, by their path: ``{"a": {"b": 1}}`` gives ``{"a.b": "1"}``."""
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value).items()
        return {k: v for name, part in parts for k, v in flatten(part, f"{path}.{name}" if path else name).items()}
    if isinstance(value, list | tuple):
        return {path: json.dumps(value, ensure_ascii=False, default=str)} if value else {}
    return {} if value is None else {path: str(value)}


def _quotes(text: str, value: str | None) -> bool:
    return bool(value) and re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", text) is not None
