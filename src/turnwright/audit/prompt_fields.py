"""What a task shows and what it hides, as columns: one value per task, by name."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from turnwright.audit.answers import gold_of
from turnwright.core.episode import Episode
from turnwright.core.task import Task

LINE = re.compile(r"^\s*(?:[-*]\s+)?([^:\n]{1,60}?)\s*[:=]\s*(\S.*?)\s*$")
PAIR = re.compile(r"(?<![\w/])([A-Za-z]\w{1,30})\s*[=:]\s*([\w.+/-]+)")
"""A pair inside a line, such as ``(tier=gold, region=eu)``."""
CODE = re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])\w+(?:-\w+)*\b=*|\b\d{3,}\b")
"""What looks like an id: letters and digits together, or a long number."""
AROUND = "\"'`*|, "
"""What surrounds names and values in JSON, tables and bold print."""
LONGEST = 20_000
"""Characters of a prompt that are looked at."""
MOST_CODES = 4

Columns = Mapping[str, Sequence[str | None]]
"""By name: one text per task, None where a task has none."""


def shown_text(episode: Episode) -> str:
    """Return what the agent reads at first, besides the instructions."""
    return "\n".join(message.content for message in episode.opening if message.role != "system")[:LONGEST]


def prompt_fields(text: str) -> dict[str, str]:
    """Return the ``name: value`` lines of a prompt and the pairs inside lines; of a name that occurs twice, the first.

    Example: ``prompt_fields("It is late (tier=gold).")`` is ``{"tier": "gold"}``.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = LINE.match(line.strip(" |"))
        if match and match.group(2).strip(AROUND):
            found.setdefault(match.group(1).strip(AROUND), match.group(2).strip(AROUND))
    for name, value in PAIR.findall(text):
        found.setdefault(name, value.rstrip(".-/"))
    return found


def shown_columns(episodes: Sequence[Episode]) -> Columns:
    """Return the prompt fields, the ids in the prompts, and the columns of data whose values the prompts quote."""
    texts = _changing_texts(episodes)
    rows = [prompt_fields(text) for text in texts]
    columns: dict[str, list[str | None]] = {
        f"prompt field {name!r}": [row.get(name) for row in rows] for name in dict.fromkeys(n for r in rows for n in r)
    }
    codes = [CODE.findall(text) for text in texts]
    for place in range(min(max(map(len, codes), default=0), MOST_CODES)):
        columns[f"id {place + 1} in the prompt"] = [some[place] if place < len(some) else None for some in codes]
    data = [
        flatten({name: value for name, value in episode.task.data.items() if name != "gold"}) for episode in episodes
    ]
    golds = gold_columns([episode.task for episode in episodes])
    for name in dict.fromkeys(n for row in data for n in row):
        if [row.get(name) for row in data] in list(golds.values()):
            # Where the ground truth is kept under another name, a list of all labels quotes it as well.
            continue
        quoted = [
            row.get(name) if _quotes(text, row.get(name)) else None for text, row in zip(texts, data, strict=True)
        ]
        if any(quoted):
            columns[f"data column {name!r}, quoted in the prompt"] = quoted
    return columns


def whole_prompts(episodes: Sequence[Episode]) -> Sequence[str | None]:
    """Return each prompt as one value."""
    return _changing_texts(episodes)


def _changing_texts(episodes: Sequence[Episode]) -> list[str]:
    """Return what the agents read at first; instructions only where they are not the same on every task."""
    systems = {tuple(m.content for m in episode.opening if m.role == "system") for episode in episodes}
    if len(systems) < 2:
        return [shown_text(episode) for episode in episodes]
    return ["\n".join(message.content for message in episode.opening)[:LONGEST] for episode in episodes]


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
