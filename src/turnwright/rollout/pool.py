"""Pool of attempts: many episodes side by side, each recorded on its own, each handed on the moment it ends.

    submit --> queue (first in, first out) --> at most ``limit`` tasks --> runner --> on_attempt (disk) --> result
                                                         ^
                       the engine's load (concurrency.py)

The next episode is announced to the engine before the last one is closed, so that the set of open episodes depends on
how many have ended and not on the clock: deterministic rounds rely on it.

Each try has a thread of its own for tools that block. A tool that never returns keeps that thread, and with it nobody
but itself: its attempt fails, and whatever comes later finds a thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Self

from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed
from turnwright.rollout.attempts import CollectorSettings, EpisodeRunner, Wanted
from turnwright.rollout.concurrency import Concurrency, Load

CHOSEN = frozenset({"skipped"})
"""Causes of failures that are an agent's choice: asking again would get the same."""
OBSERVE_SECONDS = 1.0
"""How often the load is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Order:
    wanted: Wanted
    settings: CollectorSettings
    on_attempt: Callable[[Attempt], None]
    on_start: Callable[[EpisodeKey], None]
    made: "asyncio.Future[Attempt]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class AttemptPool:
    """Makes attempts; a context manager that cancels and joins all it started."""

    def __init__(self, runner: EpisodeRunner, concurrency: Concurrency, load: Callable[[], Load] | None = None) -> None:
        """Take what makes attempts.

        Args:
            runner: Makes one.
            concurrency: How many at once.
            load: Tells how busy the engine is, for the limit to follow; None = the limit stays.
        """
        self._runner = runner
        self._concurrency = concurrency
        self._load = load
        self._queue = deque[_Order]()
        self._tasks: dict[EpisodeKey, asyncio.Task[Attempt]] = {}
        self._is_held = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Begin to look at the load."""
        self._look_later()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel what waits and what runs, and wait until the latter has ended."""
        self._is_held = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks.values())
        self.cancel([*self._tasks, *(order.wanted.key for order in self._queue)])
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def num_in_flight(self) -> int:
        """Attempts that run."""
        return len(self._tasks)

    @property
    def num_waiting(self) -> int:
        """Attempts that wait for a place."""
        return len(self._queue)

    @property
    def limit(self) -> int:
        """Attempts that may run at once."""
        return self._concurrency.limit

    def submit(
        self,
        wanted: Sequence[Wanted],
        settings: CollectorSettings,
        on_attempt: Callable[[Attempt], None] = lambda attempt: None,
        on_start: Callable[[EpisodeKey], None] = lambda key: None,
    ) -> "list[asyncio.Future[Attempt]]":
        """Put attempts in the queue and return their results to come; cancelled ones have none.

        Args:
            wanted: The attempts; none of these keys may be in the pool.
            settings: How.
            on_attempt: Sees each one as soon as it has ended; what it raises becomes its result.
            on_start: Told each one's key when it begins.
        """
        orders = [_Order(wanted=one, settings=settings, on_attempt=on_attempt, on_start=on_start) for one in wanted]
        self._queue.extend(orders)
        self._start()
        return [order.made for order in orders]

    def cancel(self, keys: Collection[EpisodeKey]) -> None:
        """Give attempts up, those that run and those that wait; unknown keys are ignored."""
        unwanted = frozenset(keys)
        for order in self._queue:
            if order.wanted.key in unwanted:
                order.made.cancel()
        self._queue = deque(order for order in self._queue if order.wanted.key not in unwanted)
        for key in unwanted & self._tasks.keys():
            self._tasks[key].cancel()

    def hold(self) -> None:
        """Let no attempt begin until ``go_on``; those that run go on."""
        self._is_held = True

    def go_on(self) -> None:
        """Let attempts begin again."""
        self._is_held = False
        self._start()

    def _start(self) -> None:
        while self._queue and len(self._tasks) < self.limit and not self._is_held:
            order = self._queue.popleft()
            key = order.wanted.key
            try:
                order.on_start(key)
                self._runner.engine.open_episode(key)
            except Exception as error:  # the boundary to whoever waits for the attempt
                order.made.set_exception(error)
                continue
            task = asyncio.create_task(_make(self._runner, order.wanted, order.settings), name=f"attempt {key}")
            self._tasks[key] = task
            # A callback, because a task that is cancelled before it begins never runs.
            task.add_done_callback(partial(self._end, order))

    def _end(self, order: _Order, task: "asyncio.Task[Attempt]") -> None:
        """Hand on what a task has made; whoever waits for it finds its place taken and its episode closed."""
        key = order.wanted.key
        error = None if task.cancelled() else task.exception()
        if not task.cancelled() and error is None:
            try:
                order.on_attempt(task.result())
            except Exception as raised:  # the boundary to whoever waits for the attempt
                error = raised
        del self._tasks[key]
        self._start()
        self._runner.engine.close_episode(key)
        if order.made.done():  # whoever waited for it was cancelled
            return
        if task.cancelled():
            order.made.cancel()
        elif error is not None:
            order.made.set_exception(error)
        else:
            order.made.set_result(task.result())

    def _look_later(self) -> None:
        if self._load is not None:
            self._timer = asyncio.get_running_loop().call_later(OBSERVE_SECONDS, self._look, self._load)

    def _look(self, load: Callable[[], Load]) -> None:
        self._concurrency = self._concurrency.observe(load())
        self._start()
        self._look_later()


async def _make(runner: EpisodeRunner, wanted: Wanted, settings: CollectorSettings) -> Attempt:
    """Make one attempt, and again while it fails for reasons other than the policy and tries are left."""
    retries = 0
    while True:
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tool")
        try:
            attempt = await runner.run(wanted, settings, executor)
        finally:
            # Without waiting: a tool that never returns has failed its own attempt and must not hold up the others.
            executor.shutdown(wait=False, cancel_futures=True)
        outcome = attempt.episode.outcome
        if isinstance(outcome, Failed) and outcome.cause not in CHOSEN and retries < settings.max_retries:
            retries += 1
            continue
        if retries:
            metadata = {**attempt.episode.metadata, "retries": str(retries)}
            attempt = replace(attempt, episode=replace(attempt.episode, metadata=metadata))
        return attempt
