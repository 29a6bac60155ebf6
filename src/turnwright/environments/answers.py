"""Answers: how rewards read the last reply, and how they compare it with the ground truth.

    reply --reasoning cut--> exactly one <final_output> block, no other tag --> one JSON object --> right fields

The strict scorer of an evaluation reads by the same rules with code of its own, so that a defect here shows as a
disagreement between reward and score. What is no tag, such as a code fence around the block, is prose and not read.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from turnwright.core.episode import Episode

OPENING, CLOSING = "<final_output>", "</final_output>"
REASONING_END = re.compile(
    r"</\s*(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)\s*>|\[/think\]|\u25c1/think\u25b7",
    re.IGNORECASE,
)
"""The end alone: a chat template may open the reasoning inside the prompt, where no reply shows it."""
TAG = re.compile(r"</?\s*[A-Za-z_][\w.:-]*(?:\s[^<>]*)?/?>|\[/?think\]|\u25c1/?think\u25b7", re.IGNORECASE)
FORMAT_COEFFICIENT = 0.1
"""Lost by an episode that ends without a readable answer."""
NULL_WORDS = frozenset({"null", "none", "n/a"})


def final_answer(episode: Episode) -> dict[str, Any] | None:
    """Return the answer object of the last reply; None when it still calls tools or has no readable answer."""
    if not episode.turns or episode.turns[-1].reply.tool_calls:
        return None
    return read_answer(episode.answer)


def read_answer(text: str) -> dict[str, Any] | None:
    """Return the JSON object of the one answer block outside the reasoning; None without exactly one readable block.

    Duplicate keys, NaN and Infinity are not JSON.

    >>> read_answer('<think>{"a": 2}</think> So: <final_output>{"a": 1}</final_output>')
    {'a': 1}
    """
    visible = REASONING_END.split(text)[-1]
    before, _, rest = visible.partition(OPENING)
    body, closing, after = rest.partition(CLOSING)
    if not closing or TAG.search(before) or TAG.search(after):
        return None
    try:
        answer = json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else None


def right_share(answer: Mapping[str, Any] | None, gold: Mapping[str, Any]) -> float:
    """Return the share of right fields; a field nobody asked for counts as a wrong one."""
    if answer is None:
        return 0.0
    right = sum(name in answer and is_right(answer[name], value) for name, value in gold.items())
    return right / len(gold.keys() | answer.keys())


def is_right(given: Any, gold: Any) -> bool:
    """Compare one value: text after casefold, trim and ``_``/``-`` -> space; booleans, numbers and null by type."""
    if gold is None:
        return given is None or (isinstance(given, str) and plain(given) in NULL_WORDS)
    if isinstance(gold, str):
        return isinstance(given, str) and plain(given) == plain(gold)
    if isinstance(gold, bool) or isinstance(given, bool):
        return given is gold
    return isinstance(given, int | float) and given == gold


def plain(label: str) -> str:
    """Return the form in which labels are compared."""
    return label.casefold().strip().replace("_", " ").replace("-", " ")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise ValueError("duplicate key")
    return parsed


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
