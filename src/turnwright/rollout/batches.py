"""Batches: which tasks each step of a run collects, the same for a seed however often it is asked or resumed.

one environment   every pass goes through its tasks in another order; a rest that fills no batch is left out
mixture           a quota says which domain each group belongs to (core/quota.py), and every domain goes through
its own tasks, pass by pass; a small one begins again while a large one is still at its first

A step's worth of groups is dealt at a time: which ones follows from the quota, their order is drawn by the seed. Groups
in place of others (filling.py, stream.py) come from the same orders, whichever is next, so what a step is dealt depends
on what was dealt before. The dealer's position follows from the records of all groups that it ever dealt.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from turnwright.config import RunConfig
from turnwright.config.steps import count_steps
from turnwright.core.errors import ConfigError, RunDirectoryError
from turnwright.core.quota import Quota
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.rundir.records import BatchGroup, BatchRecord, Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """One group to collect; names as in ``BatchGroup``."""

    number: int = 0
    task: Task
    epoch: int
    """Pass over the tasks that the task is dealt in, from 0."""
    round: int = 0
    """Rounds of filling behind it."""
    instead_of: int | None = None
    """Number of the group whose place it takes."""
    version: int = 0
    """Version of the policy that it is admitted under."""

    def record(self, fate: Fate) -> BatchGroup:
        """Return what the run directory keeps of it."""
        return BatchGroup(
            number=self.number,
            task=self.task.id,
            domain=self.task.domain or "",
            epoch=self.epoch,
            round=self.round,
            instead_of=self.instead_of,
            version=self.version,
            fate=fate,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One group of a domain's order."""

    domain: str | None
    """None outside a mixture."""
    index: int
    """Counted from 0 over all passes."""


Taken = Mapping[str | None, int]
"""Groups that were dealt in place of others, by domain of a mixture; under None where there is none."""
NOTHING: Taken = {}


class Batches:
    """The batches of one run.

    Example: with 3 groups per step, the weights 2 and 1, and four tasks each, step 2 deals the first domain its
    groups 2 and 3 and the other its group 1, each in the order of that domain's first pass.
    """

    def __init__(self, config: RunConfig, tasks: Sequence[Task]) -> None:
        """Take the run and its training tasks; raises ConfigError when they fill no batch, or a domain has none."""
        self._seed = config.run.seed
        self._size = config.algorithm.global_batch_size
        self._schedule = config.schedule
        self._orders: dict[tuple[str | None, int], list[Task]] = {}
        self._places: dict[tuple[str | None, int], dict[str, int]] = {}
        """Position of each task in such an order, by its id."""
        weights = {domain: member.weight for domain, member in config.environment.mixture.items()}
        self._quota = Quota(weights) if weights else None
        self._tasks: dict[str | None, list[Task]] = {}
        if self._quota is None:
            steps = count_steps(config, len(tasks))
            self._tasks[None] = list(tasks)
            self._lengths: dict[str | None, int] = {None: steps.per_epoch * self._size}
            self.total = steps.total
        else:
            for domain in sorted(weights):
                self._tasks[domain] = _require_some(domain, [task for task in tasks if task.domain == domain])
            self._lengths = {domain: len(found) for domain, found in self._tasks.items()}
            self.total = self._last_step()

    @property
    def size(self) -> int:
        """Groups of a step."""
        return self._size

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains of the mixture, by name; none outside one."""
        return tuple(domain for domain in self._tasks if domain is not None)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of a pass over all tasks; of a mixture, of the domain that takes longest."""
        if self._quota is None:
            return self._lengths[None] // self._size
        return max(ceil(self.num_tasks(d) / (self._quota.share(d) * self._size)) for d in self.domains)

    def num_tasks(self, domain: str) -> int:
        """Return how many training tasks a domain has."""
        return len(self._tasks[domain])

    def share(self, domain: str) -> float:
        """Return a domain's part of the groups of a run."""
        return float(self._quota.share(domain)) if self._quota is not None else 1.0

    def taken(self, records: Iterable[BatchRecord]) -> Counter[str | None]:
        """Return how many groups of some steps were dealt in place of others, as their records say."""
        return Counter(
            None if self._quota is None else group.domain
            for record in records
            for group in record.groups
            if group.refill
        )

    def num_groups(self, steps: int, domain: str | None = None) -> int:
        """Return how many groups the first ``steps`` steps have, of one domain or of all; without filling."""
        num_groups = steps * self._size
        return num_groups if self._quota is None or domain is None else self._quota.count(domain, num_groups)

    def passes(self, steps: int, domain: str | None = None, taken: Taken = NOTHING) -> int:
        """Return how many passes over its tasks a domain has finished after some steps, and what they took besides."""
        return (self.num_groups(steps, domain) + taken.get(domain, 0)) // self._lengths[domain]

    def epochs(self, steps: int, taken: Taken = NOTHING) -> int:
        """Return how many passes over all tasks are finished after some steps: those of the last domain to finish."""
        return min(self.passes(steps, domain, taken) for domain in self._tasks)

    def metrics(self, step: int, taken: Taken = NOTHING) -> dict[str, float]:
        """Return the pass over all tasks that a step begins in, and per domain of a mixture its own.

        Args:
            step: Which one.
            taken: Groups in place of others in the steps before.
        """
        metrics = {"training/epoch": float(self.epochs(step - 1, taken))}
        for domain in self.domains:
            metrics[f"{domain}/training/epoch"] = float(self.passes(step - 1, domain, taken))
        return metrics

    def regular(self, step: int) -> list[str | None]:
        """Return the domain of each group of a step, counted from 1, as the quota has it; None outside a mixture."""
        numbers = range((step - 1) * self._size, step * self._size)
        return [None if self._quota is None else self._quota.domain(number) for number in numbers]

    def shuffle(self, step: int, places: list[Place]) -> None:
        """Bring the groups of a step into the order in which they are dealt and trained."""
        # Mini-batches take every n-th group: in the quota's own order one domain could fill all of one.
        if self._quota is not None:
            generator(self._seed, "mixture order", step).shuffle(places)

    def domain_of(self, task: Task) -> str | None:
        """Return the domain that a task is dealt in; None outside a mixture."""
        return None if self._quota is None else task.domain

    def at(self, place: Place) -> Dealt:
        """Return the group at a place of its domain's order."""
        epoch, position = divmod(place.index, self._lengths[place.domain])
        return Dealt(task=self._order(place.domain, epoch)[position], epoch=epoch)

    def place_of(self, record: BatchGroup) -> Place:
        """Return where a group was dealt from; raises RunDirectoryError when its task is not among those of the run."""
        domain = None if self._quota is None else record.domain
        if domain in self._tasks:
            if (domain, record.epoch) not in self._places:
                self._places[domain, record.epoch] = {
                    task.id: position for position, task in enumerate(self._order(domain, record.epoch))
                }
            position = self._places[domain, record.epoch].get(record.task)
            if position is not None and position < self._lengths[domain]:
                return Place(domain=domain, index=record.epoch * self._lengths[domain] + position)
        raise RunDirectoryError(
            f"group {record.number} of the run has task {record.task!r} of pass {record.epoch}, which is not among its "
            "training tasks: the tasks have changed since; restore them, or start a new run from the last checkpoint"
        )

    def _order(self, domain: str | None, epoch: int) -> list[Task]:
        if (domain, epoch) not in self._orders:
            order = list(self._tasks[domain])
            name = ("task order", epoch) if domain is None else ("task order", domain, epoch)
            generator(self._seed, *name).shuffle(order)
            self._orders[domain, epoch] = order
        return self._orders[domain, epoch]

    def _last_step(self) -> int:
        """Return the first step after which every domain has made ``max_epochs`` passes, ``max_steps`` at most.

        Groups in place of others do not count: how far a run goes is known before it starts.
        """
        epochs, most = self._schedule.max_epochs, self._schedule.max_steps
        if epochs is None:
            return most
        return next((step for step in range(1, most) if self.epochs(step) >= epochs), most)


class Dealer:
    """Deals the groups of one run one at a time.

    Example: with two groups per step and the tasks in the order a, b, c, d, it deals a and b. If a is replaced, c is
    dealt in its place, and d is the first group of the second step.
    """

    def __init__(self, batches: Batches) -> None:
        """Begin at the first group of a run."""
        self._batches = batches
        self._number = 0
        self._step = 0
        self._ahead = deque[Place]()
        """What is left of the regular groups of the step that is being dealt."""
        self._next = Counter[str | None]()
        self._taken = set[Place]()
        """Places behind ``_next`` that are dealt already."""

    def deal(self, *, version: int) -> Dealt | None:
        """Return the next regular group; None = the run has no more.

        Args:
            version: Version of the policy that it is admitted under.
        """
        while not self._ahead and self._step < self._batches.total:
            self._ahead.extend(self._deal_step())
        return self._dealt(self._ahead.popleft(), version) if self._ahead else None

    def refill(self, left: Dealt, *, round: int, version: int) -> Dealt:
        """Return a fresh group of the same domain in place of one that left.

        Args:
            left: The group whose place it takes.
            round: Rounds of filling behind the fresh one.
            version: Version of the policy that it is admitted under.
        """
        dealt = self._dealt(self._take(self._batches.domain_of(left.task)), version)
        return replace(dealt, round=round, instead_of=left.number)

    def restore(self, records: Iterable[BatchGroup]) -> None:
        """Go on behind the groups that were dealt already, in whatever order they are given.

        What is missing among them is dealt first. Raises RunDirectoryError when a task of theirs is not there.
        """
        regular = set[Place]()
        for record in records:
            self._number = max(self._number, record.number + 1)
            (self._taken if record.refill else regular).add(self._batches.place_of(record))
        while regular and self._step < self._batches.total:
            step = self._deal_step()
            self._ahead.extend(place for place in step if place not in regular)
            regular.difference_update(step)
        self._taken |= regular

    def dealt(self, record: BatchGroup) -> Dealt:
        """Return a group as it was dealt; raises RunDirectoryError when its task is not there."""
        dealt = self._batches.at(self._batches.place_of(record))
        return replace(
            dealt,
            number=record.number,
            round=record.round,
            instead_of=record.instead_of,
            version=record.version,
        )

    def _deal_step(self) -> list[Place]:
        self._step += 1
        places = [self._take(domain) for domain in self._batches.regular(self._step)]
        self._batches.shuffle(self._step, places)
        return places

    def _take(self, domain: str | None) -> Place:
        while True:
            place = Place(domain=domain, index=self._next[domain])
            self._next[domain] += 1
            if place not in self._taken:
                return place
            self._taken.remove(place)

    def _dealt(self, place: Place, version: int) -> Dealt:
        self._number += 1
        return replace(self._batches.at(place), number=self._number - 1, version=version)


def _require_some(domain: str, tasks: list[Task]) -> list[Task]:
    if not tasks:
        raise ConfigError(
            f"domain {domain!r} of the mixture has no training tasks: give its environment tasks of the split 'train', "
            f"or remove [environment.mixture.{domain}]"
        )
    return tasks
