"""Mornings: a pure function of seed and key, one town per task.

Orders are due a little after the time at which the best route known at 9 o'clock brings them. Mornings are drawn until
one comes (the fourth, on average) on which a courier that plans anew after each call delivers everything in time, and
one that keeps to the first plan does not.
"""

from functools import lru_cache
from random import Random

from turnwright.core.seeding import generator
from turnwright.environments.gallery.delivery_rounds.couriers import Choice, Knowledge, best_route, keep_to_plan, replan
from turnwright.environments.gallery.delivery_rounds.day import Day
from turnwright.environments.gallery.delivery_rounds.records import DEPOT, HANDOVER_MINUTES, Event, Morning, Order

PLACES = ("Bakery", "Chapel", "Dairy", "Forge", "Harbour", "Kiln", "Library", "Mill", "Orchard", "School", "Tannery")
FIRST_ORDERS = 4
NEW_ORDERS = 2


@lru_cache(maxsize=1024)
def make_morning(seed: int, key: str) -> Morning:
    """Return the morning of a task."""
    random = generator("delivery_rounds", seed, key)
    while True:
        morning = _draw(random)
        wanted = len(morning.wanted)
        if _delivered_in_time(morning, replan) == wanted and _delivered_in_time(morning, None) < wanted:
            return morning


def _draw(random: Random) -> Morning:
    places = [DEPOT, *random.sample(PLACES, 6)]
    at = dict(zip(places, random.sample([(x, y) for x in range(6) for y in range(6)], len(places)), strict=True))
    roads = {
        place: {other: 3 * _blocks(at[place], at[other]) + 1 for other in places if other != place} for place in places
    }
    numbers = random.sample(range(10, 100), FIRST_ORDERS + NEW_ORDERS)
    destinations = random.sample(places[1:], FIRST_ORDERS)
    undated = [Order(number=n, place=p, due=10**6) for n, p in zip(numbers[:FIRST_ORDERS], destinations, strict=True)]
    orders, minute, place = list[Order](), 0, DEPOT
    for order in best_route(roads, DEPOT, 0, undated):
        minute, place = minute + roads[place][order.place] + HANDOVER_MINUTES, order.place
        orders.append(Order(number=order.number, place=place, due=minute + random.randint(4, 25)))
    last_call = minute * 2 // 3
    cancelled = random.choice(orders)
    events = [Event(minute=random.randint(3, last_call), cancels=cancelled.number)]
    for number in numbers[FIRST_ORDERS:]:
        called = random.randint(3, last_call)
        due = called + random.randint(15, 40)
        events.append(Event(minute=called, adds=Order(number=number, place=random.choice(places[1:]), due=due)))
    return Morning(
        minutes=roads,
        orders=tuple(sorted(orders, key=lambda order: order.number)),
        events=tuple(sorted(events, key=lambda event: (event.minute, str(event)))),
        calls_until=last_call,
    )


def _delivered_in_time(morning: Morning, choose: Choice | None) -> int:
    """Return how many orders a courier delivers in time; without a choice the one that keeps to the first plan."""
    day = Day(morning)
    known = Knowledge(roads=morning.minutes, calls_until=morning.calls_until, open=day.open)
    choose = choose or keep_to_plan(known)
    while day.open or day.minute < morning.calls_until:
        known.minute, known.place = day.minute, day.place
        if not day.open:
            day.wait(morning.calls_until - day.minute)
            continue
        order = choose(known)
        if order.place != day.place:
            day.drive(order.place)
        else:
            day.deliver(order.number)
    return day.on_time()[0]


def _blocks(one: tuple[int, int], other: tuple[int, int]) -> int:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])
