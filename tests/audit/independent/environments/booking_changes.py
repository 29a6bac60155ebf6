"""Changes of bookings at a ferry line, on recordings of its API."""

import json
import random

from turnwright import Task, ToolError, call, say
from turnwright.environments.recorded.environment import RecordedEnvironment

FARES = {"flex": 0, "semi": 15, "basic": 40}


def _bookings():
    rng = random.Random("ferry")
    for number in range(60):
        fare = rng.choice(list(FARES))
        days = rng.randrange(0, 30)
        yield f"FE{1000 + 13 * number}", {"fare": fare, "days_left": days, "cabins": rng.randrange(1, 4)}


BOOKINGS = dict(_bookings())


def fee_for(booking):
    return FARES[booking["fare"]] * booking["cabins"] * (2 if booking["days_left"] < 7 else 1)


def get_booking(booking: str | None = None, locale: str = "en") -> dict:
    """Return a booking: fare, days until departure, number of cabins.

    Args:
        booking: Number of the booking.
        locale: Language of texts.
    """
    if booking is None:
        raise ToolError("HTTP 422: field 'booking' is required")
    if booking not in BOOKINGS:
        raise ToolError(f"HTTP 404: {booking}")
    return BOOKINGS[booking]


LIVE = [get_booking]
CALLS = [*(("get_booking", {"booking": number}) for number in BOOKINGS), ("get_booking", {})]


class BookingChanges(RecordedEnvironment):
    """Work out the fee for moving a booking to another day."""

    recordings = "recordings/booking_changes.jsonl"
    on_missing = "tell"
    instructions = (
        "Fee for a change per cabin: flex 0, semi 15, basic 40; twice as much with fewer than 7 days left. Read the "
        "booking with get_booking and answer 'fee: N'."
    )
    typical_turns = 2

    def tasks(self, split):
        start, end = {"train": (0, 36), "validation": (36, 48), "test": (48, 60)}[split]
        for number, booking in list(BOOKINGS.items())[start:end]:
            prompt = f"Please move {number} to another day."
            yield Task(id=number, prompt=prompt, data={"gold": f"fee: {fee_for(booking)}"}, split=split)

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (found,) = yield call("get_booking", booking=task.id)
        yield say(f"fee: {fee_for(json.loads(found.content))}")
