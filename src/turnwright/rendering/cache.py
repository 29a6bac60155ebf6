"""A bounded cache that forgets what was used longest ago."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sized
from typing import Generic, TypeVar

Value = TypeVar("Value", bound=Sized)


class RecentlyUsed(Generic[Value]):
    """Keeps the most recently used values, as many as have ``room`` in all by their lengths, and always the last one.

    Lengths and not values count: a prompt may have ten ids or 100,000, and each takes 36 bytes.
    """

    def __init__(self, room: int) -> None:
        """Hold nothing yet."""
        self._room = room
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value of ``key``, computed when it is not held."""
        try:
            value = self._values[key]
        except KeyError:
            value = self._values[key] = compute()
            self._room -= 1 + len(value)
            while self._room < 0 and len(self._values) > 1:
                self._room += 1 + len(self._values.popitem(last=False)[1])
        else:
            self._values.move_to_end(key)
        return value
