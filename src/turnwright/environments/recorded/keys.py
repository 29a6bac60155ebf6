"""Keys of recordings: one text for every spelling of the same arguments, and the nearest key to one that is missing.

{"day": 1.0, "city": "Köln"}  --schema says day is a number-->  {"city":"Köln","day":1}
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from turnwright.core.message import ToolSpec

NUMERIC = {"number", "integer"}
COMPARED_LETTERS = 500
SEARCHED_LETTERS = 500_000
"""About a second of search: a missing recording must not hold other episodes up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """The recorded key that is nearest to a missing one."""

    key: str
    distance: int
    """Characters to insert, delete or replace."""


def completed(spec: ToolSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with the schema's defaults for those left out: to leave one out is to give its default."""
    properties: Mapping[str, Mapping[str, Any]] = spec.parameters.get("properties", {})
    defaults = {name: rule["default"] for name, rule in properties.items() if "default" in rule}
    return {**defaults, **arguments}


def canonical_arguments(spec: ToolSpec, arguments: Mapping[str, Any]) -> str:
    """Return the key of a call: compact JSON, defaults filled in, names sorted, strings verbatim.

    Where the schema says number or integer, 1 and 1.0 are the same; a schema behind ``$ref`` is not followed.
    Raises ValueError when an argument is not JSON, such as an infinite number.
    """
    plain = _canonical(completed(spec, arguments), spec.parameters)
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def nearest_key(key: str, recorded: Collection[str]) -> Near | None:
    """Return the recorded key with the smallest edit distance, the first in order among equals; None without any.

    The work is bounded, whatever a policy writes: keys count by their first ``COMPARED_LETTERS`` letters, and the
    search ends after ``SEARCHED_LETTERS`` in all, those nearest in length first.
    """
    wanted = _Pattern(key[:COMPARED_LETTERS])
    best: Near | None = None
    left = SEARCHED_LETTERS
    for difference, other in sorted((abs(min(len(one), COMPARED_LETTERS) - wanted.length), one) for one in recorded):
        if best is not None and (difference >= best.distance or left <= 0):
            break
        compared = other[:COMPARED_LETTERS]
        left -= len(compared)
        distance = wanted.distance(compared)
        if best is None or distance < best.distance:
            best = Near(key=other, distance=distance)
    return best


def edit_distance(one: str, other: str) -> int:
    """Return the Levenshtein distance: letters to insert, delete or replace."""
    return _Pattern(one).distance(other)


class _Pattern:
    """A text whose distance to many others is asked: a column of the table is one integer's bits (Myers 1999)."""

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self._places: dict[str, int] = {}
        for position, letter in enumerate(text):
            self._places[letter] = self._places.get(letter, 0) | 1 << position

    def distance(self, other: str) -> int:
        if not self.length:
            return len(other)
        column, last = (1 << self.length) - 1, 1 << (self.length - 1)
        # Bits where the column grows and shrinks from one row to the next.
        grows, shrinks, distance = column, 0, self.length
        for letter in other:
            here = self._places.get(letter, 0)
            diagonal = ((((here & grows) + grows) ^ grows) | here | shrinks) & column
            up, down = shrinks | ~(diagonal | grows) & column, grows & diagonal
            distance += bool(up & last) - bool(down & last)
            up, down = (up << 1 | 1) & column, down << 1 & column
            grows, shrinks = down | ~(diagonal | up) & column, up & diagonal
        return distance


def _canonical(value: Any, schema: Mapping[str, Any]) -> Any:
    choices: list[Mapping[str, Any]] = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if isinstance(value, float) and value.is_integer() and any(NUMERIC & _types(choice) for choice in choices):
        return int(value)
    if isinstance(value, list):
        items = next((choice["items"] for choice in choices if isinstance(choice.get("items"), Mapping)), {})
        return [_canonical(item, items) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        properties: Mapping[str, Any] = next((choice["properties"] for choice in choices if "properties" in choice), {})
        members = cast("Mapping[str, Any]", value)
        return {name: _canonical(member, properties.get(name, {})) for name, member in members.items()}
    return value


def _types(schema: Mapping[str, Any]) -> set[str]:
    """Return the types a schema names: one, or a list of them."""
    named = schema.get("type", ())
    return {named} if isinstance(named, str) else set(named)
