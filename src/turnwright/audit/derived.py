"""What parts of a shown value give away: letters of an id, the range of a number, the place in a list."""

import base64
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

Columns = Mapping[str, Sequence[str | None]]

SHORTEST_MESSAGE = 4
"""Characters of a decoded text that are no chance."""
MOST_CHARACTERS = 8
"""Characters of an id that are looked at one by one."""
MOST_INTERVALS = 6
"""Labels that ranges of a number can tell apart."""
FEWEST_NUMBERS = 20


def _character(place: int, text: str) -> str | None:
    return text[place] if -len(text) <= place < len(text) else None


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match.group(0) if match else None


PARTS: Mapping[str, Callable[[str], str | None]] = {
    "the letters it begins with": lambda text: _found(r"^[A-Za-z]+", text),
    "the letters it ends with": lambda text: _found(r"[A-Za-z]+$", text),
    "its length": lambda text: str(len(text)),
    **{f"its character {place + 1}": partial(_character, place) for place in range(MOST_CHARACTERS)},
    **{f"its character {place} from the end": partial(_character, -place) for place in range(1, MOST_CHARACTERS + 1)},
}


def derived_columns(columns: Columns) -> dict[str, list[str | None]]:
    """Return the parts of columns that hold ids: values with a digit and without a space."""
    found: dict[str, list[str | None]] = {}
    for where, values in columns.items():
        if not all(value is None or _is_code(value) for value in values):
            continue
        messages = [None if value is None else decoded(value) for value in values]
        if all(messages):
            found[f"{where}: decoded"] = messages
        for part, take in PARTS.items():
            column = [None if value is None else take(value) for value in values]
            if len(set(column)) > 1:
                found[f"{where}: {part}"] = column
    return found


def interval_share(values: Sequence[str | None], labels: Sequence[str | None]) -> float:
    """Return the share of tasks that one range of a number for each label explains; 0 where it is no number.

    Example: with values 1, 2, 8, 9 and labels a, a, b, b, each twenty times over, it is 1.0.
    """
    kinds = set(labels)
    numbers = [_number(value) for value in values]
    if None in numbers or not 1 < len(kinds) <= MOST_INTERVALS or len(set(numbers)) < FEWEST_NUMBERS:
        return 0.0
    ordered = [label for _, label in sorted(zip(numbers, labels, strict=True), key=_order)]
    runs = [(label, len(list(some))) for label, some in itertools.groupby(ordered)]
    # So many changes leave no room for a few ranges.
    return _best_ranges(runs, len(kinds)) / len(labels) if len(runs) <= len(labels) / 2 else 0.0


def _best_ranges(runs: Sequence[tuple[str | None, int]], count: int) -> int:
    """Return how many values at most bear the label of their range, with ``count`` ranges over runs of labels."""
    best = [0] + [-1] * len(runs)
    for _ in range(count):
        longer = list(best)
        for end in range(1, len(runs) + 1):
            held: Counter[str | None] = Counter()
            for start in range(end - 1, -1, -1):
                label, length = runs[start]
                held[label] += length
                if best[start] >= 0:
                    longer[end] = max(longer[end], best[start] + max(held.values()))
        best = longer
    return best[-1]


def position_share(values: Sequence[str | None], labels: Sequence[str | None]) -> float:
    """Return the share of tasks in which the label stands at the same place of a list whose order changes."""
    lists = [[part.strip().casefold() for part in re.split(r"[,;|/]", value or "")] for value in values]
    if min(map(len, lists), default=0) < 2 or len(set(map(tuple, lists))) < 2:
        return 0.0
    wanted = [(label or "").casefold() for label in labels]
    # Counted from both ends: the last one of lists of different lengths is a place, too.
    places = Counter(some.index(label) for some, label in zip(lists, wanted, strict=True) if label in some)
    places += Counter(some.index(label) - len(some) for some, label in zip(lists, wanted, strict=True) if label in some)
    return max(places.values(), default=0) / len(labels)


def _order(pair: tuple[float | None, str | None]) -> tuple[float, str]:
    """Return a key that orders numbers, and equal numbers by label."""
    return (pair[0] or 0.0, str(pair[1]))


def _is_code(value: str) -> bool:
    return len(value) <= 200 and " " not in value and any(c.isdigit() for c in value)


def decoded(text: str) -> str | None:
    """Return what base64 or hexadecimal text says; None where it says nothing that can be read."""
    found: list[bytes] = []
    with suppress(ValueError):
        found.append(bytes.fromhex(text))
    with suppress(ValueError):
        found.append(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    readable = [said for one in found if (said := one.decode("utf-8", errors="replace")).isprintable()]
    return next((said for said in readable if len(said) >= SHORTEST_MESSAGE and "\ufffd" not in said), None)


def _number(value: str | None) -> float | None:
    digits = re.fullmatch(r"\D{0,8}?(-?\d+(?:\.\d+)?)\D{0,4}", value or "")
    return float(digits.group(1)) if digits else None
