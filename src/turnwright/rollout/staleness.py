"""Staleness: which groups may start, and which a step must train, so that no trained token is ever too old.

    admit --version--> in work --finish--> ready --take--> in training --publish--> gone
                          |                  |
                          +---- evict -------+   whole groups, each made up for by a fresh one

Legend: B groups per step; K = max_steps_off_policy; V the version a step starts from (steps count versions up by one);
o the version that sampled a group's oldest token. A group can be trained in the steps from versions o to o + K, its
deadline. Two rules keep every group trainable:

    admission    a group starts only while fewer than B (K + 1) groups are in work, ready or in training
    deadlines    a step takes so many groups of early deadlines that the rest still fit:
                 for every d >= V, at most B (d - V) groups with a deadline <= d are left for later

The second is what earliest-deadline-first scheduling needs to be feasible (Liu and Layland, 1973). Waiting for the
groups that are due at this very step is not enough: with B = 1 and K = 2, two slow groups of version 0 would both be
due at step 2, which can take one. Groups in training count until the step publishes its version, because what starts
meanwhile is sampled under the old one. With K = 0 both rules together are synchronous training.

Nothing here knows about clocks or tasks: who waits, and for how long, is the collector's to decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from turnwright.core.errors import StalenessError


@dataclass(slots=True, kw_only=True)
class _Entry:
    oldest: int
    """Version that sampled its oldest token; while it is in work, the one it was admitted under."""
    ready: bool = False


class StalenessBound:
    """The groups that are admitted and not yet trained.

    Example: with B = 1 and K = 1, two groups may start under version 0. If the second ends first, step 0 trains it;
    step 1 then waits for the first, which is at its deadline.
    """

    def __init__(self, *, batch_size: int, max_steps_off_policy: int) -> None:
        """Begin empty.

        Args:
            batch_size: B, at least 1.
            max_steps_off_policy: K, at least 0.
        """
        self.batch_size = batch_size
        self.max_steps_off_policy = max_steps_off_policy
        self._entries: dict[int, _Entry] = {}
        self._in_training: tuple[int, ...] = ()

    @property
    def num_admitted(self) -> int:
        """Groups in work, ready or in training."""
        return len(self._entries) + len(self._in_training)

    @property
    def num_ready(self) -> int:
        """Groups that can be trained."""
        return sum(entry.ready for entry in self._entries.values())

    @property
    def num_admissible(self) -> int:
        """Groups that may start now."""
        return self.batch_size * (self.max_steps_off_policy + 1) - self.num_admitted

    def admit(self, group: int, *, version: int) -> None:
        """Let a group start.

        Args:
            group: Its number; numbers say which of two equally old groups is trained first.
            version: The newest published one; no token of the group may be older.

        Raises StalenessError when no group may start, or this one has.
        """
        if group in self._entries:
            raise StalenessError(f"group {group} was admitted already: expected a new number")
        if self.num_admissible < 1:
            raise StalenessError(
                f"group {group} may not start: {self.num_admitted} groups are not trained yet, expected fewer than "
                f"{self.batch_size} x ({self.max_steps_off_policy} + 1)"
            )
        self._entries[group] = _Entry(oldest=version)

    def finish(self, group: int, *, oldest: int) -> None:
        """Take note that a group has ended.

        Args:
            group: Its number.
            oldest: The version that sampled its oldest token that will be trained; not before it was admitted.

        Raises StalenessError for a group that is not in work, or a token older than its group.
        """
        entry = self._entries.get(group)
        if entry is None or entry.ready:
            raise StalenessError(f"group {group} cannot end: it is {'ready' if entry else 'not admitted'}")
        if oldest < entry.oldest:
            raise StalenessError(
                f"group {group} was admitted under version {entry.oldest} and has a token of version {oldest}: "
                "expected none that is older"
            )
        entry.oldest, entry.ready = oldest, True

    def evict(self, group: int) -> None:
        """Forget a group that was neither trained nor will be; raises StalenessError for one that is not there."""
        if self._entries.pop(group, None) is None:
            raise StalenessError(f"group {group} cannot be evicted: it is not admitted")

    def missing(self, version: int) -> tuple[int, ...]:
        """Return the groups in work that the step from ``version`` cannot do without, the most urgent first.

        Empty when the step can start, or waits only for any further group to be ready.
        """
        in_work = self._by_deadline(ready=False)
        short = self._shortfall(version)
        return tuple(group for group in in_work if self._entries[group].oldest <= short) if short is not None else ()

    def can_step(self, version: int) -> bool:
        """Tell whether a step may start from ``version``: none is under way, a batch is ready, the rest in time."""
        return not self._in_training and self.num_ready >= self.batch_size and self._shortfall(version) is None

    def take(self, version: int) -> tuple[int, ...]:
        """Return the B groups of the step from ``version``, those of the earliest deadline first.

        Raises StalenessError when no step may start.
        """
        if not self.can_step(version):
            raise StalenessError(
                f"no step may start from version {version}: {self.num_ready} of {self.batch_size} groups are ready, "
                f"and {list(self.missing(version))} are waited for"
            )
        taken = tuple(self._by_deadline(ready=True)[: self.batch_size])
        for group in taken:
            del self._entries[group]
        self._in_training = taken
        return taken

    def publish(self) -> None:
        """Take note that the step in training has published its version: its groups make room."""
        self._in_training = ()

    @property
    def oldest(self) -> Mapping[int, int]:
        """For each group in work or ready, the version that sampled its oldest token."""
        return {group: entry.oldest for group, entry in self._entries.items()}

    def _by_deadline(self, *, ready: bool) -> list[int]:
        chosen = [(entry.oldest, group) for group, entry in self._entries.items() if entry.ready == ready]
        return [group for _, group in sorted(chosen)]

    def _shortfall(self, version: int) -> int | None:
        """Return the least o such that groups as old would be left over for a later step; None = all are in time."""
        taken = frozenset(self._by_deadline(ready=True)[: self.batch_size])
        left = sorted(entry.oldest for group, entry in self._entries.items() if group not in taken)
        for count, oldest in enumerate(left, start=1):
            if count > self.batch_size * (oldest + self.max_steps_off_policy - version):
                return oldest
        return None
