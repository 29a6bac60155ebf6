"""Stream of groups: rollouts go on while the learner trains, and each step gets groups that are not too old for it.

    dealer --admit--> in work --all attempts ended--> ready --sweep--> step (next_groups) --published--> room for others
      ^                  |                              |
      +---- refill ------+-- too old --- left <-- no signal

    admit     as many groups as the bound on staleness allows (staleness.py), each under the newest version; its
              attempts go to the pool in order
    sweep     when a step could start, ready groups without signal leave, as long as they have rounds of filling left,
              and the step waits for what takes their place
    too old   when a step is ready but for groups that would be too old for any later one, it waits for them
              ``straggler_wait_seconds``; then they leave, with what they have finished

With a bound of 0 all this is synchronous: a step's groups start when the version before it is published, and filling
goes round by round.

    published(version)  called when the engine samples under a version: after it was resumed, and after each step
    next_groups(step)   the one place that waits; what broke in a task is raised here

Nothing starts before the first of the two is called.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import StalenessError
from turnwright.core.group import Attempt, TrainableGroup
from turnwright.core.outcome import Failed
from turnwright.rollout.attempts import CollectorSettings, Wanted
from turnwright.rollout.batches import Dealer, Dealt
from turnwright.rollout.filling import MadeGroup, StepGroups, judge_group
from turnwright.rollout.ledger import EVENTS, Event, RolloutLedger
from turnwright.rollout.pool import AttemptPool
from turnwright.rollout.repetition import RepetitionSettings
from turnwright.rollout.staleness import StalenessBound
from turnwright.rundir.records import BatchGroup, OpenGroup


class Journal(Protocol):
    """Keeps what the stream does, so that it survives a crash."""

    def open_group(self, group: BatchGroup) -> None:
        """Keep a group that is admitted, before its first attempt begins."""
        ...

    def attempt(self, number: int, attempt: Attempt) -> None:
        """Keep an attempt of an open group that has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How groups are made; names as in [algorithm], [rollout] and [async_config]."""

    group_size: int
    episodes: CollectorSettings
    fill_rounds: int = 0
    repetition: RepetitionSettings | None = None
    """Attempts of such replies are not trained; None = all survivors are."""
    straggler_wait_seconds: float = 60.0


@dataclass(slots=True, kw_only=True)
class _Work:
    """A group that is admitted and not yet taken."""

    dealt: Dealt
    place: int
    """Number of the regular group whose place it has: orders the groups of a step."""
    wanted: Sequence[Wanted]
    ended: dict[EpisodeKey, Attempt] = field(default_factory=dict[EpisodeKey, Attempt])
    made: MadeGroup | None = None
    """What became of it; None while it is in work."""

    @property
    def attempts(self) -> list[Attempt]:
        """Attempts that have ended, in the order they were wanted."""
        return [self.ended[one.key] for one in self.wanted if one.key in self.ended]

    @property
    def missing(self) -> list[Wanted]:
        """Attempts that have not."""
        return [one for one in self.wanted if one.key not in self.ended]


class GroupStream:
    """Makes the groups of a run; a context manager that cancels and joins all it started, its pool included."""

    def __init__(
        self,
        dealer: Dealer,
        pool: AttemptPool,
        bound: StalenessBound,
        settings: StreamSettings,
        *,
        is_live: Callable[[TrainableGroup], bool],
        journal: Journal,
    ) -> None:
        """Begin empty.

        Args:
            dealer: Says which groups there are.
            pool: Makes attempts; not entered yet.
            bound: Says how many groups may start and which a step must train; empty.
            settings: How.
            is_live: Whether a group carries signal.
            journal: Told of each group and each attempt the moment they are there.
        """
        self.ledger = RolloutLedger()
        self._dealer = dealer
        self._pool = pool
        self._bound = bound
        self._settings = settings
        self._is_live = is_live
        self._journal = journal
        self._version: int | None = None
        self._groups: dict[int, _Work] = {}
        self._owed = deque[tuple[_Work, int]]()
        """Groups that left and whose places are free, with the rounds behind what takes them."""
        self._replaced: list[MadeGroup] = []
        self._evicted: list[MadeGroup] = []
        self._is_held = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._reported: dict[str, float] = {}
        self._straggler_wait = 0.0

    async def __aenter__(self) -> Self:
        """Begin; nothing is admitted yet."""
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel what runs and wait until it has ended; what has ended before stays in the journal."""
        self._is_held = True
        try:
            await self._pool.__aexit__(kind, error, traceback)
        finally:
            self.ledger.interrupt()

    def restore(self, open_groups: Sequence[OpenGroup]) -> None:
        """Take up the groups that an interrupted process left; the dealer has been restored by them too.

        Attempts that ended are not made again, unless they failed, because what broke may have been mended since. A
        group in whose place another one was dealt has left, and belongs to the next step's record as it was.
        """
        left = {record.instead_of: record for record in (one.group for one in open_groups) if record.refill}
        places: dict[int | None, int] = {}
        for one in sorted(open_groups, key=lambda one: one.group.number):
            dealt = self._dealer.dealt(one.group)
            # What it was dealt instead of may lie in a closed step.
            standing_in = dealt.number if dealt.instead_of is None else dealt.instead_of
            work = self._work(dealt, place=places.get(dealt.instead_of, standing_in))
            places[dealt.number] = work.place
            successor = left.get(one.group.number)
            ended = {attempt.episode.key: attempt for attempt in one.attempts}
            for key, attempt in ended.items():
                if successor is not None or not isinstance(attempt.episode.outcome, Failed):
                    self.ledger.dispatch(key)
                    self._note(work, attempt)
            if successor is not None:
                self._leave(work, "no_signal" if successor.round > one.group.round else "stale")
                continue
            self._bound.admit(one.group.number, version=one.group.version)
            self._groups[one.group.number] = work
            self._close_if_complete(work)

    async def next_groups(self, step: int) -> StepGroups:
        """Wait for the groups of a step, counted from 1, and take them.

        Raises StalenessError when there are not enough left, and whatever a task of the stream raised.
        """
        version, until = step - 1, None
        if self._version is None:
            self.published(version)
        clock = asyncio.get_running_loop().time
        while True:
            if self._failure is not None:
                raise self._failure
            if self._is_held:
                await self._wait()
                continue
            if self._bound.can_step(version):
                if not self._sweep():
                    return self._take(version)
                continue
            late = self._bound.missing(version) if self._bound.num_ready >= self._bound.batch_size else ()
            if not late:
                self._require_more(step)
                until = None
                await self._wait()
                continue
            began = clock()
            until = began + self._settings.straggler_wait_seconds if until is None else until
            if began >= until:
                self._evict(late)
                until = None
                continue
            await self._wait(until)
            self._straggler_wait += clock() - began

    def published(self, version: int) -> None:
        """Admit groups under a version from which the engine samples; those in training make room."""
        if self._version is None:
            for work in self._groups.values():
                self._submit(work, work.missing)
        self._version = version
        self._bound.publish()
        self._admit()
        self._changed.set()

    def hold(self) -> None:
        """Admit no group, begin no attempt and let no step have its groups until ``go_on``; what runs goes on."""
        self._is_held = True
        self._pool.hold()

    def make_again(self) -> None:
        """Make the failed attempts again of groups that no step has taken yet."""
        for work in self._groups.values():
            again = [one.episode.key for one in work.attempts if isinstance(one.episode.outcome, Failed)]
            if not again:
                continue
            for key in again:
                del work.ended[key]
                self.ledger.end(key, "failed")
            if work.made is not None:
                work.made = None
                self._bound.evict(work.dealt.number)
                self._bound.admit(work.dealt.number, version=work.dealt.version)
            self._submit(work, [one for one in work.wanted if one.key in again])

    def go_on(self) -> None:
        """Admit groups and begin attempts again."""
        self._is_held = False
        self._pool.go_on()
        self._admit()
        self._changed.set()

    def metrics(self) -> dict[str, float]:
        """Return what became of rollouts since it was asked last, and how many there are."""
        ledger = self.ledger
        sums = {
            **{f"rollout/ended/{event}": float(ledger.ended[event]) for event in EVENTS},
            "rollout/wasted_tokens": float(ledger.wasted_tokens),
            "timing_s/straggler_wait": self._straggler_wait,
        }
        since = {name: value - self._reported.get(name, 0.0) for name, value in sums.items()}
        self._reported = sums
        return since | {
            "rollout/wasted_frac": ledger.wasted_tokens / ledger.finished_tokens if ledger.finished_tokens else 0.0,
            "rollout/in_flight": float(self._pool.num_in_flight),
            "rollout/ready_groups": float(self._bound.num_ready),
            "rollout/concurrency": float(self._pool.limit),
        }

    def _admit(self) -> None:
        """Deal as many groups as may start: first those in place of others, then regular ones."""
        while self._version is not None and not self._is_held and self._bound.num_admissible > 0:
            if self._owed:
                left, round = self._owed.popleft()
                dealt = self._dealer.refill(left.dealt, round=round, version=self._version)
                work = self._work(dealt, place=left.place)
            elif (dealt := self._dealer.deal(version=self._version)) is not None:
                work = self._work(dealt, place=dealt.number)
            else:
                return
            self._bound.admit(dealt.number, version=self._version)
            self._groups[dealt.number] = work
            self._journal.open_group(dealt.record("open"))
            self._submit(work, work.wanted)

    def _work(self, dealt: Dealt, *, place: int) -> _Work:
        first = dealt.epoch * self._settings.group_size
        wanted = [Wanted(task=dealt.task, attempt=first + i) for i in range(self._settings.group_size)]
        return _Work(dealt=dealt, place=place, wanted=wanted)

    def _submit(self, work: _Work, wanted: Sequence[Wanted]) -> None:
        made = self._pool.submit(wanted, self._settings.episodes, partial(self._ended, work), self.ledger.dispatch)
        for one, future in zip(wanted, made, strict=True):
            future.add_done_callback(partial(self._watch, work, one.key))

    def _watch(self, work: _Work, key: EpisodeKey, future: "asyncio.Future[Attempt]") -> None:
        """Keep what broke for whoever waits for groups."""
        if not future.cancelled():
            error = future.exception()
        elif work.dealt.number in self._groups:
            # Whoever waited for this attempt would wait for ever.
            error = RuntimeError(f"attempt {key} was cancelled from within: a runner must end what breaks as Failed")
        else:
            error = None
        if error is not None:
            self._failure = self._failure or error
            self._changed.set()

    def _ended(self, work: _Work, attempt: Attempt) -> None:
        if work.dealt.number not in self._groups:
            return
        self._journal.attempt(work.dealt.number, attempt)
        self._note(work, attempt)
        self._close_if_complete(work)

    def _note(self, work: _Work, attempt: Attempt) -> None:
        self.ledger.finish(attempt.episode.key, num_tokens=attempt.trajectory.num_sampled_tokens)
        work.ended[attempt.episode.key] = attempt

    def _close_if_complete(self, work: _Work) -> None:
        if not work.missing:
            work.made = judge_group(work.dealt, work.attempts, self._settings.repetition)
            self._bound.finish(work.dealt.number, oldest=work.made.oldest)
            self._changed.set()

    def _sweep(self) -> bool:
        """Let ready groups without signal leave that have rounds of filling left; tell whether there were any."""
        dull = [
            work
            for work in sorted(self._groups.values(), key=lambda work: work.place)
            if work.made is not None
            and work.dealt.round < self._settings.fill_rounds
            and not self._is_live(work.made.trainable)
        ]
        for work in dull:
            self._let_go(work, "no_signal", round=work.dealt.round + 1)
        self._admit()
        return bool(dull)

    def _evict(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            work = self._groups[number]
            self._let_go(work, "stale", round=work.dealt.round)
        self._admit()

    def _let_go(self, work: _Work, event: Event, *, round: int) -> None:
        self._bound.evict(work.dealt.number)
        del self._groups[work.dealt.number]
        missing = [one.key for one in work.missing]
        self._pool.cancel(missing)
        self.ledger.cut(missing, "stale")
        self._leave(work, event)
        self._owed.append((work, round))

    def _leave(self, work: _Work, event: Event) -> None:
        made = work.made or judge_group(work.dealt, work.attempts, self._settings.repetition)
        (self._evicted if event == "stale" else self._replaced).append(made)
        self._settle(made, event)

    def _settle(self, made: MadeGroup, event: Event) -> None:
        for attempt in made.group.attempts:
            key, is_failed = attempt.episode.key, isinstance(attempt.episode.outcome, Failed)
            self.ledger.end(key, "failed" if is_failed else "filtered" if key in made.repetitions else event)

    def _take(self, version: int) -> StepGroups:
        taken = [self._groups.pop(number) for number in self._bound.take(version)]
        trained = [work.made for work in sorted(taken, key=lambda work: work.place) if work.made is not None]
        groups = StepGroups(trained=tuple(trained), replaced=tuple(self._replaced), evicted=tuple(self._evicted))
        self._replaced, self._evicted = [], []
        for made in trained:
            self._settle(made, "trained")
        return groups

    def _require_more(self, step: int) -> None:
        if all(work.made is not None for work in self._groups.values()):
            raise StalenessError(
                f"step {step} can never start: {self._bound.num_ready} of {self._bound.batch_size} groups are ready "
                "and none is in work; was the version before it published?"
            )

    async def _wait(self, until: float | None = None) -> None:
        """Wait until something has changed, or until a time of the event loop."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._changed.wait()
