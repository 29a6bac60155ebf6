"""The bound on staleness, over schedules in virtual time: it holds for every group, none waits for ever, few go."""

import heapq
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwright.core.errors import StalenessError
from turnwright.rollout.staleness import StalenessBound


def bound_of(batch_size: int = 1, steps: int = 2) -> StalenessBound:
    return StalenessBound(batch_size=batch_size, max_steps_off_policy=steps)


def test_without_staleness_every_group_of_a_step_is_waited_for() -> None:
    bound = bound_of(batch_size=2, steps=0)
    bound.admit(0, version=0)
    bound.admit(1, version=0)
    assert bound.num_admissible == 0
    bound.finish(1, oldest=0)
    assert not bound.can_step(0)
    assert bound.missing(0) == (0,)
    bound.finish(0, oldest=0)
    assert bound.take(0) == (0, 1)
    assert bound.num_admissible == 0
    bound.publish()
    assert bound.num_admissible == 2


def test_a_step_waits_before_two_slow_groups_are_due_at_once() -> None:
    bound = bound_of(batch_size=1, steps=2)
    for group in (0, 1, 2):
        bound.admit(group, version=0)
    bound.finish(2, oldest=0)
    assert bound.take(0) == (2,)
    bound.publish()
    bound.admit(3, version=1)
    bound.finish(3, oldest=1)
    # Group 3 is ready, but then 0 and 1 would both be due at step 2, which takes one.
    assert not bound.can_step(1)
    assert bound.missing(1) == (0, 1)
    bound.finish(1, oldest=0)
    assert bound.take(1) == (1,)
    bound.publish()
    assert bound.missing(2) == (0,)
    assert bound.oldest == {0: 0, 3: 1}
    bound.evict(0)
    assert bound.take(2) == (3,)


def test_the_oldest_ready_groups_are_trained_first() -> None:
    bound = bound_of(batch_size=2, steps=1)
    for group in (5, 6, 7, 8):
        bound.admit(group, version=3)
    bound.finish(8, oldest=3)
    bound.finish(6, oldest=4)
    bound.finish(7, oldest=3)
    assert bound.take(3) == (7, 8)


def test_what_cannot_be_is_refused() -> None:
    bound = bound_of(batch_size=1, steps=0)
    bound.admit(0, version=4)
    with pytest.raises(StalenessError, match="group 1 may not start: 1 groups are not trained yet"):
        bound.admit(1, version=4)
    with pytest.raises(StalenessError, match="has a token of version 3"):
        bound.finish(0, oldest=3)
    with pytest.raises(StalenessError, match="group 7 cannot end: it is not admitted"):
        bound.finish(7, oldest=4)
    with pytest.raises(StalenessError, match=r"no step may start from version 4: 0 of 1 groups are ready, and \[0\]"):
        bound.take(4)
    bound.finish(0, oldest=4)
    with pytest.raises(StalenessError, match="group 0 cannot end: it is ready"):
        bound.finish(0, oldest=4)
    with pytest.raises(StalenessError, match="group 0 was admitted already"):
        bound.admit(0, version=4)
    with pytest.raises(StalenessError, match="group 3 cannot be evicted"):
        bound.evict(3)


@dataclass(slots=True, kw_only=True)
class Schedule:
    """A run in virtual time: groups take as long as they take, steps take one unit, and stragglers are waited for."""

    bound: StalenessBound
    rng: random.Random
    group_size: int
    tail: float
    """Shape of the Pareto distribution of an episode's time; smaller is heavier."""
    failing: float
    """Chance that a group is lost to failures."""
    patience: float
    """Units after which groups that a step waits for are evicted."""
    now: float = 0.0
    version: int = 0
    number: int = 0
    ends: list[tuple[float, int]] = field(default_factory=list)
    trained: list[tuple[int, int]] = field(default_factory=list)
    """Group and its staleness."""
    evicted: int = 0
    failed: int = 0

    def run(self, num_steps: int) -> None:
        training_until: float | None = None
        deadline: float | None = None
        while self.version < num_steps:
            while self.bound.num_admissible > 0:
                self.start_group()
            if training_until is None and self.bound.can_step(self.version):
                ages = {group: self.version - oldest for group, oldest in self.bound.oldest.items()}
                self.trained += [(group, ages[group]) for group in self.bound.take(self.version)]
                training_until = self.now + 1.0
            missing = self.bound.missing(self.version) if training_until is None else ()
            if not missing or self.bound.num_ready < self.bound.batch_size:
                deadline = None
            elif deadline is None:
                deadline = self.now + self.patience
            elif self.now >= deadline:
                self.evict(missing)
                continue
            moments = [end for end, _ in self.ends[:1]]
            moments += [training_until] if training_until is not None else []
            moments += [deadline] if deadline is not None else []
            assert moments, "nothing will ever happen again"
            self.now = min(moments)
            if training_until is not None and training_until <= self.now:
                training_until = None
                self.bound.publish()
                self.version += 1
            while self.ends and self.ends[0][0] <= self.now:
                self.end_group(heapq.heappop(self.ends)[1])

    def evict(self, groups: tuple[int, ...]) -> None:
        for group in groups:
            self.bound.evict(group)
        self.evicted += len(groups)
        self.ends = [end for end in self.ends if end[1] not in groups]
        heapq.heapify(self.ends)

    def start_group(self) -> None:
        self.bound.admit(self.number, version=self.version)
        longest = max(0.2 * self.rng.paretovariate(self.tail) for _ in range(self.group_size))
        heapq.heappush(self.ends, (self.now + longest, self.number))
        self.number += 1

    def end_group(self, group: int) -> None:
        if self.rng.random() < self.failing:
            self.bound.evict(group)
            self.failed += 1
        else:
            self.bound.finish(group, oldest=self.bound.oldest[group])


@given(
    seed=st.integers(0, 2**32),
    steps=st.integers(0, 8),
    batch_size=st.integers(1, 6),
    group_size=st.integers(2, 16),
    tail=st.floats(1.1, 4.0),
    failing=st.floats(0.0, 0.3),
    patience=st.floats(0.0, 20.0),
)
@settings(max_examples=60, deadline=None)
def test_no_group_is_ever_trained_too_old_and_none_waits_for_ever(
    seed: int, steps: int, batch_size: int, group_size: int, tail: float, failing: float, patience: float
) -> None:
    schedule = Schedule(
        bound=bound_of(batch_size, steps),
        rng=random.Random(seed),
        group_size=group_size,
        tail=tail,
        failing=failing,
        patience=patience,
    )
    schedule.run(30)
    assert len(schedule.trained) == 30 * batch_size
    assert max(age for _, age in schedule.trained) <= steps
    # Whatever started is trained, lost, or among the few that are still admitted.
    admitted = schedule.bound.num_admitted
    assert schedule.number == len(schedule.trained) + schedule.evicted + schedule.failed + admitted
    assert all(schedule.version - oldest <= steps for oldest in schedule.bound.oldest.values())


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_hardly_anything_finished_is_thrown_away(steps: int) -> None:
    schedule = Schedule(
        bound=bound_of(4, steps), rng=random.Random(7), group_size=8, tail=1.8, failing=0.0, patience=60.0
    )
    schedule.run(400)
    assert schedule.evicted / schedule.number < 0.02
