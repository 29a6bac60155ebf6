"""What the original benchmark shows an agent and how it grades, to compare with its published numbers.

    columns as its table reader prints them --> one user message;  last reply --> the first form that reads --> compare

The grader is kept with its defects: it accepts a value that contains the right one or is contained in it, reads any
tag, and in a task of several fields reads the tools' answers in place of the agent's. Nothing should be trained by it.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from turnwright.core.episode import Episode
from turnwright.environments.sop.lookups import Row

MAX_ITERATIONS = 10
"""Model calls after which the original ends an episode, which then counts as completed."""
PROMPT = """\
Please process the task below by following this standard operating procedure:

<sop>
{procedure}
</sop>

Task to process:
{task}

Follow the procedure step by step and use the tools you have. When all steps are done, give the final decision as

<final_decision>value</final_decision>

where value is the decision that the procedure asks for, without any explanation."""

MISSING = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
"""Cells that the original's table reader takes for missing; it prints them as ``nan``."""
NULL_LIKE = frozenset({"none", "null", "na", "n/a", "nan", "unknown", ""})
IDS = frozenset({"id", "task_id", "email_id", "product_id"})
"""Keys that are never read as a decision."""
LONGEST_PLAIN = 100
PREFIXES = ("final answer:", "decision:", "result:", "output:")
INTEGER = re.compile(r"\s*[+-]?\d+\s*")
LARGEST = 2**63
"""Whole numbers from here on make no column of floats."""
BLOCK = re.compile(r"<final_output>\s*(\{.*?\})\s*</final_output>", re.DOTALL | re.IGNORECASE)
PAIR = re.compile(r"<(\w+)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
WRAPPERS = ("final_response", "final_decision", "response", "output")

Parsed = str | dict[str, str]
"""One value, or several by lower-case name."""


def printed_columns(rows: Sequence[Row], columns: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return each column's cells as the original prints them: numbers without leading zeros, blanks as ``nan``."""
    return {column: _printed([row[column] for row in rows]) for column in columns}


def is_right(episode: Episode, gold: Mapping[str, Any]) -> bool:
    """Return the original grader's verdict; with several fields, the transcript is read instead of the answer."""
    if len(gold) == 1:
        ((name, value),) = gold.items()
        last = episode.turns[-1] if episode.turns else None
        text = "" if last is None or last.reply.tool_calls else episode.answer
        parsed = parse(text, (name,))
        # Several values in the answer to one question: the expected name wins, else the first.
        single = parsed if isinstance(parsed, str) else parsed.get(name.lower(), next(iter(parsed.values()), "unknown"))
        return matches(single, value)
    found = parse(_transcript(episode), tuple(gold))
    return isinstance(found, dict) and all(
        name.lower() in found and matches(found[name.lower()], value) for name, value in gold.items()
    )


def matches(given: Any, expected: Any) -> bool:
    """Compare as the original does: without case, null words all alike, and containment in either direction."""
    one, other = ("" if value is None else str(value).lower().strip() for value in (given, expected))
    if one in NULL_LIKE or other in NULL_LIKE:
        return one in NULL_LIKE and other in NULL_LIKE
    one, other = (text.replace("_", " ").replace("-", " ") for text in (one, other))
    return one in other or other in one


def parse(text: str, expected: Sequence[str]) -> Parsed:
    """Read an answer in the first form that fits."""
    text = text.strip()
    if not text:
        return "unknown"
    readers = (_from_block, _from_tools, _from_tags, _from_flat_json, _from_literal)
    for read in readers:
        found = read(text, expected)
        if found:
            return found
    return _plain(text)


def _printed(cells: Sequence[str]) -> list[str]:
    filled = [cell for cell in cells if cell not in MISSING]
    show = _printer(filled, holes=len(filled) < len(cells))
    return ["nan" if cell in MISSING else show(cell) for cell in cells]


def _printer(filled: Sequence[str], *, holes: bool) -> Callable[[str], str]:
    if filled and all(cell in ("True", "False", "TRUE", "FALSE", "true", "false") for cell in filled):
        return str.capitalize
    if filled and all(INTEGER.fullmatch(cell) for cell in filled):
        if not holes:
            return lambda cell: str(int(cell))
        # A column of whole numbers with a hole in it is a column of floats.
        large = any(abs(int(cell)) >= LARGEST for cell in filled)
        return str if large else lambda cell: str(float(int(cell)))
    return (lambda cell: str(float(cell))) if filled and all(map(_is_number, filled)) else str


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _transcript(episode: Episode) -> str:
    """Return the messages as the original keeps them: a JSON array, which is also what it reads answers from."""
    messages: list[dict[str, Any]] = [{"role": message.role, "content": message.content} for message in episode.opening]
    for turn in episode.turns:
        calls = [{"type": "tool_use", "id": call.id, "name": call.name} for call in turn.reply.tool_calls]
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.reply.content}, *calls]})
        results = [
            {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
            for message in turn.responses
        ]
        messages += [{"role": "user", "content": results}] if results else []
    return json.dumps(messages, indent=2)


def _from_block(text: str, expected: Sequence[str]) -> Parsed | None:
    blocks = BLOCK.findall(text)
    answer = _json(blocks[-1]) if blocks else None
    if not isinstance(answer, dict):
        return None
    given = {str(name).lower(): value for name, value in cast("dict[str, Any]", answer).items()}
    found = {name.lower(): str(given[name.lower()]).lower() for name in expected if name.lower() in given}
    return _parsed(found)


def _from_tools(text: str, expected: Sequence[str]) -> Parsed | None:
    """Collect expected keys out of tool results; at least half of them must be there."""
    if len(expected) < 2 or not text.startswith("["):
        return None
    trace = _json(text)
    found: dict[str, str] = {}
    for message in cast("list[Any]", trace) if isinstance(trace, list) else []:
        content = message.get("content") if isinstance(message, dict) and message.get("role") == "user" else None
        for item in content if isinstance(content, list) else []:
            result = _json(item.get("content", "")) if isinstance(item, dict) else None
            for name, value in result.items() if isinstance(result, dict) else ():
                if name in expected:
                    found[name.lower()] = str(value).lower()
    return found if found and len(found) >= len(expected) / 2 else None


def _from_tags(text: str, expected: Sequence[str]) -> Parsed | None:
    for wrapper in WRAPPERS:
        match = re.search(f"<{wrapper}>(.*?)</{wrapper}>", text, re.DOTALL | re.IGNORECASE)
        if match:
            content = match.group(1).strip()
            found = _pairs(content) if PAIR.search(content) else _literal(content)
            if found:
                return _parsed(found)
    return _parsed(_pairs(text))


def _from_flat_json(text: str, expected: Sequence[str]) -> Parsed | None:
    match = re.search(r"\{[^{}]*\}", text)
    found = _decisions(_json(match.group(0).replace("'", '"')) if match else None)
    return _first_or_all(found, expected)


def _from_literal(text: str, expected: Sequence[str]) -> Parsed | None:
    return _first_or_all(_literal(text), expected)


def _first_or_all(found: dict[str, str], expected: Sequence[str]) -> Parsed | None:
    """Return what an object without tags says: to one question its first value, whatever its name."""
    return next(iter(found.values())) if found and len(expected) == 1 else _parsed(found)


def _plain(text: str) -> str:
    decision = text.lower()
    for prefix in PREFIXES:
        if decision.startswith(prefix):
            decision = decision[len(prefix) :].strip()
    return decision if len(decision) <= LONGEST_PLAIN else "unknown"


def _pairs(text: str) -> dict[str, str]:
    return {name.lower(): value.strip().lower() for name, value in PAIR.findall(text) if name.lower() not in IDS}


def _literal(text: str) -> dict[str, str]:
    match = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        return _decisions(ast.literal_eval(match.group(0))) if match else {}
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return {}


def _decisions(found: Any) -> dict[str, str]:
    pairs = cast("dict[Any, Any]", found).items() if isinstance(found, dict) else ()
    return {str(name).lower(): str(value).lower() for name, value in pairs if str(name).lower() not in IDS}


def _parsed(found: dict[str, str]) -> Parsed | None:
    """Return one value alone: with several fields expected, the original then finds none of them."""
    return (next(iter(found.values())) if len(found) == 1 else found) if found else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return None
