"""Batches: which tasks each step of a run collects, the same for a seed however often it is asked or resumed.

one environment   every pass goes through its tasks in another order; a rest that fills no batch is left out
mixture           a quota says which domain each group belongs to (core/quota.py), and every domain goes through
its own tasks, pass by pass; a small one begins again while a large one is still at its first

Filling (filling.py) takes further groups from the same order, so what a step is dealt depends on how many were taken
before it. Nothing here remembers that: who asks says it (``Taken``), and the run directory keeps it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from turnwright.config import RunConfig
from turnwright.config.steps import count_steps
from turnwright.core.errors import ConfigError
from turnwright.core.quota import Quota
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.rundir.records import BatchGroup, BatchRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """One group to collect."""

    task: Task
    epoch: int
    """Pass over the tasks that the task is dealt in, from 0."""
    round: int = 0
    """Round of filling that it is dealt in, from 1; 0 = the step has it from the start."""


Taken = Mapping[str | None, int]
"""Groups that filling has taken from the order, by domain of a mixture; under None where there is none."""
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

    def deal(self, step: int, taken: Taken = NOTHING) -> list[Dealt]:
        """Return the groups of a step, counted from 1, in the order in which they are trained.

        Args:
            step: Which one.
            taken: What filling took in the steps before.
        """
        numbers = range((step - 1) * self._size, step * self._size)
        if self._quota is None:
            return [self._group(None, number + taken.get(None, 0)) for number in numbers]
        domains = [(self._quota.domain(number), number) for number in numbers]
        dealt = [
            self._group(domain, self._quota.count(domain, number) + taken.get(domain, 0)) for domain, number in domains
        ]
        # Mini-batches take every n-th group: in the quota's own order one domain could fill all of one.
        generator(self._seed, "mixture order", step).shuffle(dealt)
        return dealt

    def deal_more(self, step: int, replaced: Sequence[Dealt], taken: Taken, *, round: int) -> list[Dealt]:
        """Return a fresh group of the same domain for each of some groups of a step.

        Args:
            step: Which one.
            replaced: The groups whose places are to be taken.
            taken: What filling took in the steps before, and in earlier rounds of this one.
            round: Round of filling, from 1.
        """
        so_far, fresh = Counter(taken), list[Dealt]()
        for domain in map(self._domain, replaced):
            number = self.num_groups(step, domain) + so_far[domain]
            fresh.append(replace(self._group(domain, number), round=round))
            so_far[domain] += 1
        return fresh

    def taken(self, records: Iterable[BatchRecord]) -> Counter[str | None]:
        """Return what filling took in some steps, as their records say."""
        return Counter(
            None if self._quota is None else group.domain
            for record in records
            for group in record.groups
            if group.round
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
        """Return the pass over all tasks that a step begins in; per domain of a mixture its own, and its groups.

        Args:
            step: Which one.
            taken: What filling took in the steps before.
        """
        metrics = {"training/epoch": float(self.epochs(step - 1, taken))}
        for domain in self.domains:
            groups = self.num_groups(step, domain) - self.num_groups(step - 1, domain)
            metrics[f"{domain}/rollout/groups"] = float(groups)
            metrics[f"{domain}/training/epoch"] = float(self.passes(step - 1, domain, taken))
        return metrics

    def _domain(self, dealt: Dealt) -> str | None:
        return None if self._quota is None else dealt.task.domain

    def _group(self, domain: str | None, number: int) -> Dealt:
        epoch, position = divmod(number, self._lengths[domain])
        if (domain, epoch) not in self._orders:
            order = list(self._tasks[domain])
            name = ("task order", epoch) if domain is None else ("task order", domain, epoch)
            generator(self._seed, *name).shuffle(order)
            self._orders[domain, epoch] = order
        return Dealt(task=self._orders[domain, epoch][position], epoch=epoch)

    def _last_step(self) -> int:
        """Return the first step after which every domain has made ``max_epochs`` passes, ``max_steps`` at most.

        What filling takes does not count: how far a run goes is known before it starts.
        """
        epochs, most = self._schedule.max_epochs, self._schedule.max_steps
        if epochs is None:
            return most
        return next((step for step in range(1, most) if self.epochs(step) >= epochs), most)


def batch_record(step: int, dealt: Sequence[Dealt], replaced: Sequence[Dealt] = ()) -> BatchRecord:
    """Return what a step is made of, for the run directory.

    Args:
        step: Which one.
        dealt: The groups it trains on, in their order.
        replaced: Groups that left it for others of them.
    """
    return BatchRecord(
        step=step,
        groups=(*(_group_record(one) for one in dealt), *(_group_record(one, replaced=True) for one in replaced)),
    )


def _group_record(dealt: Dealt, *, replaced: bool = False) -> BatchGroup:
    return BatchGroup(
        task=dealt.task.id, domain=dealt.task.domain or "", epoch=dealt.epoch, round=dealt.round, replaced=replaced
    )


def _require_some(domain: str, tasks: list[Task]) -> list[Task]:
    if not tasks:
        raise ConfigError(
            f"domain {domain!r} of the mixture has no training tasks: give its environment tasks of the split 'train', "
            f"or remove [environment.mixture.{domain}]"
        )
    return tasks
