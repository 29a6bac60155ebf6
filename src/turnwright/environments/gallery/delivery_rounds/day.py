"""Day: where the courier is, what is still to be delivered, and what the office has called about so far."""

from turnwright.core.errors import ToolError
from turnwright.environments.gallery.delivery_rounds.records import (
    DEPOT,
    HANDOVER_MINUTES,
    Event,
    Morning,
    Order,
    clock,
)

LONGEST_WAIT = 60


class Day:
    """The state of one morning as it goes on; time passes by driving, delivering and waiting alone."""

    def __init__(self, morning: Morning) -> None:
        """Begin at the depot at 9 o'clock."""
        self.morning = morning
        self.minute = 0
        self.place = DEPOT
        self.known: dict[int, Order] = {order.number: order for order in morning.orders}
        self.open = dict(self.known)
        """Of the known orders those that are neither handed over nor cancelled."""
        self.handed_over: dict[int, int] = {}
        """Minute of each delivery, by number of the order."""
        self._to_come = list(morning.events)

    def drive(self, place: str) -> list[Event]:
        """Go to a place; returns what the office called about on the way."""
        if place not in self.morning.minutes:
            raise ToolError(f"there is no {place!r}; the places are {', '.join(self.morning.minutes)}")
        if place == self.place:
            raise ToolError(f"you are at {place}")
        took = self.morning.minutes[self.place][place]
        self.place = place
        return self._pass(took)

    def deliver(self, number: int) -> list[Event]:
        """Hand an order over; returns what the office called about meanwhile."""
        order = self.open.get(number)
        if order is None:
            known = ", ".join(map(str, sorted(self.open))) or "none"
            raise ToolError(f"order {number} is not open; open are: {known}")
        if order.place != self.place:
            raise ToolError(f"order {number} goes to {order.place}, and you are at {self.place}")
        del self.open[number]
        self.handed_over[number] = self.minute + HANDOVER_MINUTES
        return self._pass(HANDOVER_MINUTES)

    def wait(self, minutes: int) -> list[Event]:
        """Stay where you are; returns what the office called about meanwhile."""
        if not 1 <= minutes <= LONGEST_WAIT:
            raise ToolError(f"minutes = {minutes}: wait 1 to {LONGEST_WAIT} minutes")
        return self._pass(minutes)

    def on_time(self) -> tuple[int, int]:
        """Return how many wanted orders were handed over in time, and how many too late."""
        done = [order for order in self.morning.wanted if order.number in self.handed_over]
        in_time = sum(self.handed_over[order.number] <= order.due for order in done)
        return in_time, len(done) - in_time

    def __str__(self) -> str:
        """Return time, place and open orders."""
        return "\n".join([f"{clock(self.minute)}, at {self.place}", *map(str, self.open.values())])

    def _pass(self, minutes: int) -> list[Event]:
        """Let time pass, and take in what the office calls about."""
        self.minute += minutes
        news: list[Event] = []
        while self._to_come and self._to_come[0].minute <= self.minute:
            event = self._to_come.pop(0)
            if event.adds is not None:
                self.known[event.adds.number] = self.open[event.adds.number] = event.adds
            elif event.cancels is not None and self.open.pop(event.cancels, None) is None:
                continue  # it is handed over already
            news.append(event)
        return news
