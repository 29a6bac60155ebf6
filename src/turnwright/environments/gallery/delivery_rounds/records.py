"""Records of a morning: the town, the orders, and what the office will call about."""

from collections.abc import Mapping
from dataclasses import dataclass

DEPOT = "Depot"
HANDOVER_MINUTES = 2
"""Time a delivery takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A parcel for a place."""

    number: int
    place: str
    due: int
    """Minute after 9 o'clock by which it must be handed over."""

    def __str__(self) -> str:
        """Return the order as the courier reads it."""
        return f"order {self.number} to {self.place}, due {clock(self.due)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A call of the office: an order is cancelled, or a new one comes in."""

    minute: int
    cancels: int | None = None
    """Number of the order that is cancelled."""
    adds: Order | None = None

    def __str__(self) -> str:
        """Return the call as the courier hears it."""
        news = f"order {self.cancels} is cancelled" if self.adds is None else f"new: {self.adds}"
        return f"{clock(self.minute)} {news}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Morning:
    """Everything a task is about; the events are not known beforehand."""

    minutes: Mapping[str, Mapping[str, int]]
    """By road from one place to another; the same both ways."""
    orders: tuple[Order, ...]
    """Known at 9 o'clock."""
    events: tuple[Event, ...]
    """In the order of their minutes."""
    calls_until: int
    """Minute after which nothing changes any more."""

    @property
    def wanted(self) -> tuple[Order, ...]:
        """The orders that are never cancelled."""
        cancelled = {event.cancels for event in self.events}
        added = [event.adds for event in self.events if event.adds is not None]
        return tuple(order for order in (*self.orders, *added) if order.number not in cancelled)

    @property
    def prompt(self) -> str:
        """What the courier knows at 9 o'clock."""
        places = list(self.minutes)
        rows = [
            f"{place}: " + ", ".join(f"{other} {self.minutes[place][other]}" for other in places[index + 1 :])
            for index, place in enumerate(places[:-1])
        ]
        orders = [str(order) for order in self.orders]
        head = f"It is {clock(0)} and you are at the {DEPOT}. The office calls until {clock(self.calls_until)}."
        return "\n".join([head, "minutes by road:", *rows, "orders:", *orders])


def clock(minute: int) -> str:
    """Return a minute after 9 o'clock as a time of day.

    >>> clock(75)
    '10:15'
    """
    return f"{9 + minute // 60:02}:{minute % 60:02}"
