"""Couriers: one that plans anew after each piece of news, one that keeps to a plan, and one that takes what is near."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from turnwright.core.message import Message
from turnwright.core.seeding import generator
from turnwright.environments.gallery.delivery_rounds.records import DEPOT, HANDOVER_MINUTES, Order
from turnwright.environments.scripts import Script, call, say

ORDER = re.compile(r"order (\d+) to (\w+), due (\d+):(\d+)")
CANCELLED = re.compile(r"order (\d+) is cancelled")
WHERE = re.compile(r"^(\d+):(\d+), at (\w+)$", re.MULTILINE)
UNTIL = re.compile(r"calls until (\d+):(\d+)")

Roads = Mapping[str, Mapping[str, int]]
Choice = Callable[["Knowledge"], Order]
"""Says which open order is next; asked whenever the courier is free."""


@dataclass(slots=True, kw_only=True)
class Knowledge:
    """What a courier knows, from the prompt and from what the tools told."""

    roads: Roads
    calls_until: int
    open: dict[int, Order]
    minute: int = 0
    place: str = DEPOT

    def hear(self, text: str) -> None:
        """Take in what a tool answered."""
        if where := WHERE.search(text):
            self.minute, self.place = _minute(where[1], where[2]), where[3]
        self.open |= {order.number: order for order in read_orders(text)}
        for found in CANCELLED.findall(text):
            self.open.pop(int(found), None)


def read_prompt(prompt: str) -> Knowledge:
    """Return what the prompt tells."""
    (until,) = UNTIL.findall(prompt)
    table, _, orders = prompt.partition("orders:\n")
    roads: dict[str, dict[str, int]] = {}
    for row in table.splitlines()[2:]:
        place, _, others = row.partition(": ")
        for other, minutes in (entry.split(" ") for entry in others.split(", ")):
            roads.setdefault(place, {})[other] = roads.setdefault(other, {})[place] = int(minutes)
    return Knowledge(
        roads=roads,
        calls_until=_minute(*until),
        open={order.number: order for order in read_orders(orders)},
    )


def read_orders(text: str) -> list[Order]:
    """Return the orders that a text names in full."""
    return [
        Order(number=int(number), place=place, due=_minute(hour, minute))
        for number, place, hour, minute in ORDER.findall(text)
    ]


def work(knowledge: Knowledge, choose: Choice) -> Script:
    """Deliver what is open, one order after the other, and wait for calls when nothing is."""
    while knowledge.open or knowledge.minute < knowledge.calls_until:
        if not knowledge.open:
            knowledge.hear(_text((yield call("wait", minutes=knowledge.calls_until - knowledge.minute))))
            continue
        order = choose(knowledge)
        if order.place != knowledge.place:
            knowledge.hear(_text((yield call("drive", place=order.place))))
        else:
            del knowledge.open[order.number]
            knowledge.hear(_text((yield call("deliver", order=order.number))))
    yield say("done")


def replan(knowledge: Knowledge) -> Order:
    """Choose the first order of the best route from here."""
    return best_route(knowledge.roads, knowledge.place, knowledge.minute, tuple(knowledge.open.values()))[0]


def keep_to_plan(knowledge: Knowledge) -> Choice:
    """Return a choice that follows the route planned at 9 o'clock, and takes new orders in when it is through."""
    route = list(best_route(knowledge.roads, knowledge.place, 0, tuple(knowledge.open.values())))

    def choose(now: Knowledge) -> Order:
        planned = [order for order in route if order.number in now.open]
        return planned[0] if planned else replan(now)

    return choose


def take_nearest(seed: int, task_id: str, share: float) -> Choice:
    """Return a choice that takes the nearest order, with a chance of ``share`` each time, and else plans."""
    random = generator("delivery_rounds.short_sighted_courier", seed, task_id)

    def choose(now: Knowledge) -> Order:
        if random.random() >= share:
            return replan(now)
        return min(now.open.values(), key=lambda order: (_minutes(now.roads, now.place, order.place), order.number))

    return choose


def best_route(roads: Roads, place: str, minute: int, orders: Sequence[Order]) -> tuple[Order, ...]:
    """Return the route that delivers most orders in time, and of those the one that ends first; the others come last.

    For each set of orders and the last of them only the earliest arrival matters, so sets are grown one by one.
    """
    # By the set of orders done (bits) and the last one: minute of its handover, and the route.
    reached: dict[tuple[int, int], tuple[int, tuple[Order, ...]]] = {(0, -1): (minute, ())}
    best = (0, minute, ())
    layer = list(reached)
    while layer:
        following: dict[tuple[int, int], None] = {}
        for done, last in layer:
            now, route = reached[done, last]
            best = min(best, (-len(route), now, route), key=lambda one: one[:2])
            for index, order in enumerate(orders):
                then = now + _minutes(roads, orders[last].place if route else place, order.place) + HANDOVER_MINUTES
                state = (done | 1 << index, index)
                if done >> index & 1 or then > order.due or then >= reached.get(state, (then + 1,))[0]:
                    continue
                reached[state] = (then, (*route, order))
                following[state] = None
        layer = list(following)
    rest = sorted((order for order in orders if order not in best[2]), key=lambda order: (order.due, order.number))
    return (*best[2], *rest)


def _minutes(roads: Roads, place: str, other: str) -> int:
    return 0 if place == other else roads[place][other]


def _minute(hour: str, minute: str) -> int:
    return 60 * (int(hour) - 9) + int(minute)


def _text(followed: Iterable[Message]) -> str:
    return next(iter(followed)).content
