"""Fields: typed reading of untrusted JSON objects.

Every error names the field by its path as the caller sees it (``messages[2].content[0].type``), what was there, what
was expected, and where it helps the cure. ``null`` means absent throughout, because SDKs send it for what is not set.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from turnwright.gateway.refusals import Refusal

_MOST_NAMES = 32
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and where it stands in the request.

    Example::

        body = Fields({"temperature": 3, "messages": [{"role": "user"}]})
        body.number("temperature", 0, 2)           # Refusal: temperature must be a number from 0 to 2: got 3
        [m.text("role") for m in body.objects("messages")]   # ["user"]
    """

    value: Mapping[str, object]
    path: str = ""

    def at(self, name: str) -> str:
        """Return the path of one of this object's fields."""
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> object:
        """Return a field's value; None when it is absent or null."""
        return self.value.get(name)

    def refuse(self, name: str, expected: str, cure: str = "") -> Refusal:
        """Return the refusal of a field that is there but is not what was expected."""
        path = self.at(name)
        got = describe(self.value[name]) if name in self.value else "nothing"
        return Refusal(
            "validation", f"{path} must be {expected}: got {got}" + (f"; {cure}" if cure else ""), field=path
        )

    def text(self, name: str) -> str | None:
        """Return a string field, or None."""
        value = self.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self.refuse(name, "a string")

    def required_text(self, name: str) -> str:
        """Return a string field that must be there and must not be empty."""
        value = self.text(name)
        if not value:
            raise self.refuse(name, "a string that is not empty")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean field; False when it is absent."""
        value = self.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.refuse(name, "true or false")

    def number(self, name: str, low: float, high: float, *, above_low: bool = False) -> float | None:
        """Return a number within [low, high], or None.

        Args:
            name: Field.
            low: Least value.
            high: Greatest value.
            above_low: ``low`` itself is refused.
        """
        value = self.get(name)
        if value is None:
            return None
        span = f"above {low:g} and at most {high:g}" if above_low else f"from {low:g} to {high:g}"
        # A bool is an int to Python, but not to JSON; NaN fails the comparison.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.refuse(name, f"a number {span}")
        if above_low and value == low:
            raise self.refuse(name, f"a number {span}")
        return float(value)

    def integer(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number within [low, high], or None."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.refuse(name, f"a whole number from {low} to {high}")
        return value

    def nested(self, name: str) -> "Fields | None":
        """Return an object field, or None."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refuse(name, "an object")
        return Fields(cast("dict[str, object]", value), self.at(name))

    def entries(self, name: str) -> Sequence[object]:
        """Return a list field; empty when it is absent."""
        value = self.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.refuse(name, "a list")
        return cast("list[object]", value)

    def objects(self, name: str) -> "Iterator[Fields]":
        """Yield the entries of a list of objects; nothing when the field is absent."""
        for i, value in enumerate(self.entries(name)):
            path = f"{self.at(name)}[{i}]"
            if not isinstance(value, dict):
                raise Refusal("validation", f"{path} must be an object: got {describe(value)}", field=path)
            yield Fields(cast("dict[str, object]", value), path)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; empty when the field is absent."""
        values = self.entries(name)
        for i, value in enumerate(values):
            if not isinstance(value, str):
                path = f"{self.at(name)}[{i}]"
                raise Refusal("validation", f"{path} must be a string: got {describe(value)}", field=path)
        return cast("tuple[str, ...]", tuple(values))

    def names_beyond(self, honoured: Collection[str]) -> tuple[str, ...]:
        """Return the names of fields that were sent but are not among ``honoured``: few and short, for counters."""
        others = (name for name, value in self.value.items() if value is not None and name not in honoured)
        return tuple(sorted({_shortened(name) for name in others})[:_MOST_NAMES])


def describe(value: object) -> str:
    """Return a short picture of a JSON value for an error message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(_shortened(value))
    if isinstance(value, dict):
        return f"an object with {len(value)} fields"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    try:
        return _shortened(str(value))
    except ValueError:  # Python refuses to print integers of thousands of digits.
        return "a number of thousands of digits"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
