"""DeliveryRounds: four tools over a morning that changes while it goes on, by a timetable that only the seed knows."""

from collections.abc import Iterator
from hashlib import blake2b

from turnwright.core.episode import Episode
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment
from turnwright.environments.gallery.delivery_rounds.couriers import read_prompt, replan, take_nearest, work
from turnwright.environments.gallery.delivery_rounds.day import LONGEST_WAIT, Day
from turnwright.environments.gallery.delivery_rounds.generator import make_morning
from turnwright.environments.gallery.delivery_rounds.records import HANDOVER_MINUTES, Event, clock
from turnwright.environments.gallery.sizes import split_sizes
from turnwright.environments.scripts import Script
from turnwright.environments.tools import tool

INSTRUCTIONS = f"""\
You are a courier. Deliver every order in time.

All parcels are on your bicycle, those of later orders included.
drive takes you to a place, in the minutes of the table.
deliver hands an order over at its place. It takes {HANDOVER_MINUTES} minutes and must be done by the time it is due.
wait lets up to {LONGEST_WAIT} minutes pass.
look tells the time, where you are and what is open.

While you are on the road the office calls: orders are cancelled, and new ones come in, often urgent ones. You hear of
it with the answer to what you were doing. Plan again when something changes. The task says until when the office calls:
until then more orders may come, so wait when nothing is open.

Say done when everything is delivered and the office calls no more."""


class DeliveryRounds(Environment):
    """Deliver a morning's orders in time while the orders change."""

    instructions = INSTRUCTIONS
    typical_turns = 12

    def __init__(
        self, *, train_tasks: int = 400, validation_tasks: int = 40, test_tasks: int = 120, seed: int = 0
    ) -> None:
        """Take the number of tasks per split and the seed of their mornings."""
        self._sizes = split_sizes("delivery_rounds", train=train_tasks, validation=validation_tasks, test=test_tasks)
        self._seed = seed

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield the tasks of a split; each has a town of its own."""
        for index in range(self._sizes[split]):
            key = f"{split}-{index}"
            morning = make_morning(self._seed, key)
            yield Task(
                id=f"round-{self._seed}-{key}",
                prompt=morning.prompt,
                data={"key": key},
                split=split,
                cluster=blake2b(repr(morning).encode(), digest_size=8).hexdigest(),
            )

    def open(self, task: Task, seed: int) -> None:
        """Begin the morning."""
        super().open(task, seed)
        self._day = Day(make_morning(self._seed, task.data["key"]))

    @tool
    def look(self) -> str:
        """Return the time, where you are, and the open orders."""
        return str(self._day)

    @tool
    def drive(self, place: str) -> str:
        """Ride to a place.

        Args:
            place: Name of the place.
        """
        return self._told(self._day.drive(place))

    @tool
    def deliver(self, order: int) -> str:
        """Hand an order over, at its place.

        Args:
            order: Number of the order.
        """
        news = self._day.deliver(order)
        late = self._day.handed_over[order] - self._day.known[order].due
        return f"order {order} delivered {f'{late} minutes late' if late > 0 else 'in time'}\n{self._told(news)}"

    @tool
    def wait(self, minutes: int) -> str:
        """Let time pass where you are.

        Args:
            minutes: How long.
        """
        return self._told(self._day.wait(minutes))

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return the share of orders that were delivered in time, of those never cancelled.

        One that is late counts for nothing, and so does one the office has yet to call about when the courier is done.
        """
        in_time, late = self._day.on_time()
        wanted = len(self._day.morning.wanted)
        return {"in_time": in_time / wanted, "late": late / wanted, "total": in_time / wanted}

    def oracle(self, task: Task) -> Script:
        """Plan the best route anew whenever there is a choice."""
        return work(read_prompt(task.prompt), replan)

    def short_sighted_courier(self, task: Task, seed: int) -> Script:
        """Take the nearest order most of the time; how often is drawn per task and seed."""
        share = generator("delivery_rounds.share", seed, task.id).choice((0.5, 0.8, 1.0))
        return work(read_prompt(task.prompt), take_nearest(seed, task.id, share))

    def _told(self, news: list[Event]) -> str:
        return "\n".join([f"{clock(self._day.minute)}, at {self._day.place}", *map(str, news)])
