"""The stream over schedules in virtual time: no token too old, no rollout lost, no run that halts, hardly any waste."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.playing import Notebook, Play, Player, make_batches, open_stream
from rollout.virtual_time import run
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Rewarded
from turnwright.rollout.attempts import Wanted
from turnwright.rollout.filling import StepGroups
from turnwright.rollout.stream import GroupStream

TOKENS = 3


@dataclass(slots=True, kw_only=True)
class Schedule:
    """A run: episodes that take a drawn time each, and a learner that does too."""

    seed: int
    steps: int
    batch_size: int
    group_size: int
    most_off_policy: int
    tail: float
    """Shape of the Pareto distribution of an episode's time; smaller is heavier."""
    failing: float = 0.0
    """Chance that an episode fails for good."""
    dull: float = 0.0
    """Chance that an episode has the reward that most have."""
    fill_rounds: int = 0
    patience: float = 60.0
    """Seconds after which groups that a step waits for are given up."""
    limit: int = 999
    """Episodes at once."""
    seconds: float = 0.2
    """Shortest episode; a step takes a second on average."""
    notebook: Notebook = field(default_factory=Notebook)
    made: list[StepGroups] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    """How long the learner waited for each step."""

    def play(self, wanted: Wanted) -> Play:
        rng = random.Random(f"{self.seed} {wanted.key}")
        pause = self.seconds * rng.paretovariate(self.tail) / TOKENS
        if rng.random() < self.failing:
            return Play(outcome=Failed(cause="tool_error"), tokens=(5,), pause=pause)
        reward = 0.0 if rng.random() < self.dull else float(wanted.attempt % 2)
        return Play(outcome=Rewarded(value=reward), tokens=(5,) * TOKENS, pause=pause)

    async def learn(self, player: Player | None = None) -> GroupStream:
        """Train the steps that are left; the books are checked before and after each."""
        rng, clock = random.Random(self.seed), asyncio.get_running_loop().time
        player = player or Player(play=self.play)
        player.engine.policy_version = len(self.made)
        closed = [group for step, groups in enumerate(self.made) for group in groups.record(step + 1).groups]
        left = self.notebook.open_groups(without=closed)
        batches = make_batches([f"t{n}" for n in range(37)], size=self.batch_size, steps=self.steps)
        stream = open_stream(
            player,
            batches,
            self.notebook,
            most_off_policy=self.most_off_policy,
            group_size=self.group_size,
            fill_rounds=self.fill_rounds,
            wait=self.patience,
            limit=self.limit,
            dealt=[*closed, *(one.group for one in left)],
        )
        async with stream:
            stream.restore(left)
            stream.published(len(self.made))
            for step in range(len(self.made) + 1, self.steps + 1):
                began = clock()
                self.made.append(await stream.next_groups(step))
                self.waited.append(clock() - began)
                self.require_balance(stream)
                await asyncio.sleep(2 * rng.random())
                self.require_balance(stream)
                player.engine.policy_version = step
                stream.published(step)
        self.require_balance(stream)
        assert not player.engine.open_episodes
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return stream

    def require_balance(self, stream: GroupStream) -> None:
        """Every rollout that was dispatched ended once, or has not ended yet."""
        ledger = stream.ledger
        assert ledger.num_dispatched == sum(ledger.ended.values()) + ledger.num_in_flight + ledger.num_ready

    def require_bound(self) -> None:
        """Every trained token is as young as it has to be, and every group is trained or left in time."""
        bound = self.most_off_policy
        for version, groups in enumerate(self.made):
            assert len(groups.trained) == self.batch_size
            for row in groups.rows:
                assert all(version - bound <= one <= version for one in row.policy_versions if one >= 0)
            for made in (*groups.trained, *groups.left):
                # A group ends at its deadline at the latest, and is trained at that of its oldest token.
                assert 0 <= version - made.dealt.version <= 2 * bound

    def require_events(self, stream: GroupStream) -> None:
        """Each attempt that ended is in one step's groups at most, with the event of its group."""
        keys = Counter(attempt.episode.key for groups in self.made for attempt in groups.attempts)
        assert not keys or max(keys.values()) == 1
        ended = {attempt.episode.key: attempt for _, attempt in self.notebook.attempts}
        assert keys.keys() <= ended.keys()
        expected = Counter[str]()
        for groups in self.made:
            for event, some in (("trained", groups.trained), ("no_signal", groups.replaced), ("stale", groups.evicted)):
                expected.update(
                    "failed" if is_failed(attempt) else event for made in some for attempt in made.group.attempts
                )
        found = stream.ledger.ended
        # Those of given-up groups that were cut off are in no group's attempts.
        assert {event: found[event] for event in ("trained", "failed", "no_signal", "filtered")} == {
            event: expected[event] for event in ("trained", "failed", "no_signal", "filtered")
        }
        assert found["stale"] >= expected["stale"]
        tokens = {key: attempt.trajectory.num_sampled_tokens for key, attempt in ended.items()}
        assert stream.ledger.finished_tokens == sum(tokens.values())
        assert stream.ledger.wasted_tokens == sum(map(tokens.__getitem__, stale_keys(self.made)))


def is_failed(attempt: Attempt) -> bool:
    return isinstance(attempt.episode.outcome, Failed)


def stale_keys(made: list[StepGroups]) -> list[EpisodeKey]:
    return [
        attempt.episode.key
        for groups in made
        for left in groups.evicted
        for attempt in left.group.attempts
        if not is_failed(attempt)
    ]


schedules = st.builds(
    Schedule,
    seed=st.integers(0, 2**32),
    steps=st.integers(1, 12),
    batch_size=st.integers(1, 4),
    group_size=st.integers(2, 16),
    most_off_policy=st.integers(0, 8),
    tail=st.floats(1.1, 4.0),
    failing=st.floats(0.0, 0.4),
    dull=st.floats(0.0, 1.0),
    fill_rounds=st.integers(0, 2),
    patience=st.floats(0.0, 20.0),
    limit=st.integers(1, 99),
    seconds=st.floats(0.01, 1.0),
)


def check(schedule: Schedule) -> None:
    stream = run(schedule.learn())
    assert len(schedule.made) == schedule.steps
    schedule.require_bound()
    schedule.require_events(stream)
    if not schedule.most_off_policy:
        assert not any(groups.evicted for groups in schedule.made)


@pytest.mark.slow
@given(schedule=schedules)
@settings(max_examples=12, deadline=None)
def test_no_token_is_too_old_and_every_rollout_ends_once(schedule: Schedule) -> None:
    check(schedule)


@pytest.mark.slow
@given(schedule=schedules)
@settings(max_examples=400, deadline=None)
def test_no_token_is_too_old_over_many_schedules(schedule: Schedule) -> None:
    check(schedule)


@pytest.mark.slow
@given(schedule=schedules, crashes=st.lists(st.floats(0.0, 20.0), max_size=3))
@settings(max_examples=12, deadline=None)
def test_what_crashes_leave_is_trained_once_and_not_made_again(schedule: Schedule, crashes: list[float]) -> None:
    check_crashes(schedule, crashes)


@pytest.mark.slow
@given(schedule=schedules, crashes=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_what_many_crashes_leave_is_trained_once_and_not_made_again(schedule: Schedule, crashes: list[float]) -> None:
    check_crashes(schedule, crashes)


def check_crashes(schedule: Schedule, crashes: list[float]) -> None:
    """Cut a run off some seconds after each of its starts; steps that were closed are trained again from disk."""

    async def until(seconds: float | None, player: Player) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await schedule.learn(player)

    for seconds in (*crashes, None):
        kept = {one.episode.key for _, one in schedule.notebook.attempts if not is_failed(one)}
        player = Player(play=schedule.play)
        run(until(seconds, player))
        assert kept.isdisjoint(player.played)
    assert len(schedule.made) == schedule.steps
    schedule.require_bound()
    numbers = Counter(made.dealt.number for groups in schedule.made for made in (*groups.trained, *groups.left))
    assert max(numbers.values()) == 1
    # Every group that was dealt was trained, or has left for another one.
    assert numbers.keys() == schedule.notebook.groups.keys()
    trained = [made for groups in schedule.made for made in groups.trained]
    assert all(len(made.group.attempts) == schedule.group_size for made in trained)


def steady(steps: int, most_off_policy: int) -> Schedule:
    return Schedule(
        seed=7,
        steps=steps,
        batch_size=4,
        group_size=8,
        most_off_policy=most_off_policy,
        tail=1.8,
        failing=0.02,
        patience=5.0,
    )


@pytest.mark.parametrize(("most_off_policy", "steps"), [(1, 12), (4, 12)])
def test_hardly_anything_finished_is_thrown_away(most_off_policy: int, steps: int) -> None:
    require_little_waste(steady(steps, most_off_policy))


@pytest.mark.slow
@pytest.mark.parametrize("most_off_policy", [1, 2, 4, 8])
def test_hardly_anything_finished_is_thrown_away_in_the_long_run(most_off_policy: int) -> None:
    schedule = steady(200, most_off_policy)
    require_little_waste(schedule)
    assert any(groups.evicted for groups in schedule.made)


def require_little_waste(schedule: Schedule) -> None:
    stream = run(schedule.learn())
    schedule.require_bound()
    assert stream.ledger.wasted_tokens < 0.02 * stream.ledger.finished_tokens
    # The learner does not wait for ever either: the longest episode of a synchronous run of 200 steps takes 31 s.
    assert max(schedule.waited) < 2 * schedule.patience


def test_running_ahead_hides_the_tail() -> None:
    """The same episodes and the same learner: the longest of each step's episodes is no longer waited for."""
    waited: dict[int, float] = {}
    for most_off_policy in (0, 2):
        schedule = steady(20, most_off_policy)
        run(schedule.learn())
        waited[most_off_policy] = sum(schedule.waited)
    assert waited[2] < waited[0] / 3
