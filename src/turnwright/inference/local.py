"""The embedded engine: continuous batching over an in-process model.

One asyncio task owns the decode loop and is the only one that schedules; the passes themselves (local_passes.py) run
on one worker thread, so that tools and agents go on meanwhile.

    generate() -> queue (bounded) -> a lane, the ids still to be fed -> hop: extend | decode -> listener, future

A *lane* is a sequence of ids in a slot (local_slots.py). An episode has as many as it had requests in work at once,
as far as slots go round; between requests a lane keeps what it holds until somebody else needs the slot, and then it
is fed again (counted). Requests join and leave between hops: a hop is a few decode steps, fewer while somebody listens.

Deterministic rounds (ALGORITHMS.md section 5): with ``deterministic`` a pass runs only when every open episode has a
request, in order of task, attempt and turn, so that the composition of batches does not depend on the clock.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import torch

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ConfigError, ContextOverflowError, EngineStoppedError
from turnwright.core.progress import working
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.inference.base import Generation, GenerationRequest, TokenListener
from turnwright.inference.local_cache import SlotCache, bytes_per_token
from turnwright.inference.local_passes import Passes
from turnwright.inference.local_sequences import ActiveRequest, EngineCounters, Lane, OpenEpisode, active_of
from turnwright.inference.local_slots import Slots
from turnwright.models.load import Policy


class LocalEngine:
    """Samples from an in-process model; see the module docstring for the flow."""

    shares_weights = True

    def __init__(
        self,
        policy: Policy,
        *,
        kv_memory_mb: int = 512,
        max_queue: int = 4096,
        max_slots: int = 256,
        max_sequence_length: int | None = None,
        num_threads: int | None = None,
        deterministic: bool = False,
    ) -> None:
        """Allocate the KV slots.

        Args:
            policy: The model; its tensors are read as they are at each pass.
            kv_memory_mb: Memory of the slots, in MiB.
            max_queue: Requests that may wait for a slot.
            max_slots: Slots at most, whatever the memory would hold.
            max_sequence_length: Prompt and reply together; None = what the model was made for.
            num_threads: Cores the passes use; None = all.
            deterministic: Advance in rounds.

        Raises:
            ConfigError: The memory does not hold one sequence.
        """
        self.policy = policy
        self.counters = EngineCounters()
        self.on_busy: Callable[[bool], None] = lambda busy: None
        """Told on the event loop when the engine begins to compute (True) and when it has nothing to do (False)."""
        self.progress: Progress = UNWATCHED
        """Told of every pass."""
        self.max_sequence_length = min(max_sequence_length or policy.max_sequence_length, policy.max_sequence_length)
        slot_bytes = bytes_per_token(policy) * (self.max_sequence_length + 1)
        self.num_slots = min(kv_memory_mb * 2**20 // slot_bytes, max_slots)
        if self.num_slots < 1:
            raise ConfigError(
                f"inference.kv_memory_mb = {kv_memory_mb} holds no sequence of {self.max_sequence_length} tokens: "
                f"expected at least {-(-slot_bytes // 2**20)}, or lower sampling.max_sequence_length"
            )
        cache = SlotCache.allocate(policy, self.num_slots, self.max_sequence_length)
        self._passes = Passes(policy, cache, self.counters)
        self._slots = Slots(self.num_slots, self.counters)
        self._max_queue = max_queue
        self._deterministic = deterministic
        self._num_threads = num_threads
        self._open: dict[EpisodeKey, OpenEpisode] = {}
        self._queue: list[ActiveRequest] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._num_pauses = 0
        self._advancing = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine", initializer=self._pin_threads)
        self._loop_task: asyncio.Task[None] | None = None
        self._stop_reason = ""
        self._failure: BaseException | None = None

    def _pin_threads(self) -> None:
        if self._num_threads is not None:
            torch.set_num_threads(self._num_threads)

    # ------------------------------------------------------------------ the Engine protocol

    @property
    def policy_version(self) -> int:
        """Version that samples the next token."""
        return self._passes.policy_version

    @property
    def stop_reason(self) -> str:
        """Why every request is refused; empty while the engine works."""
        return self._stop_reason

    @property
    def num_in_work(self) -> int:
        """Requests that have a slot."""
        return sum(lane.active is not None for lane in self._slots.lanes)

    @property
    def num_waiting(self) -> int:
        """Requests that wait for one."""
        return len(self._queue)

    def open_episode(self, key: EpisodeKey) -> None:
        """Announce an episode; opening one twice is an error."""
        if key in self._open:
            raise ValueError(f"episode {key} is already open: close it before another attempt with the same key")
        self._open[key] = OpenEpisode(key=key)

    def close_episode(self, key: EpisodeKey) -> None:
        """Forget an episode and free its slots; requests in work end with EngineStoppedError."""
        episode = self._open.pop(key, None)
        if episode is None:
            return
        for active in episode.requests:
            if not active.future.done():
                active.future.set_exception(EngineStoppedError(f"episode {key} was closed"))
        self._queue = [active for active in self._queue if active.episode is not episode]
        for lane in tuple(episode.lanes):
            self._slots.retire(lane, in_pass=self._advancing)
        self._wake.set()

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        """Sample one reply; see ``Engine.generate`` for errors."""
        active = ActiveRequest(
            request=request,
            episode=self._episode_for(request),
            on_tokens=on_tokens,
            future=asyncio.get_running_loop().create_future(),
        )
        if self._loop_task is None:
            self._loop_task = asyncio.create_task(self._run(), name="engine-decode-loop")
        active.episode.requests.append(active)
        self._queue.append(active)
        self._wake.set()
        try:
            await active.future
        except asyncio.CancelledError:
            self._give_up(active)
            raise
        if active.failure is not None:
            raise active.failure
        return active.generation()

    def _episode_for(self, request: GenerationRequest) -> OpenEpisode:
        """Return the episode of a request that can be taken in."""
        if self._stop_reason:
            raise EngineStoppedError(self._stop_reason) from self._failure
        episode = self._open.get(request.key)
        if episode is None:
            raise EngineStoppedError(f"episode {request.key} is not open: call open_episode first")
        room = self.max_sequence_length - len(request.prompt_token_ids)
        if room < 1 or not request.prompt_token_ids:
            raise ContextOverflowError(
                f"prompt of {len(request.prompt_token_ids)} tokens leaves no room for a reply: expected 1 to "
                f"{self.max_sequence_length - 1} (episode {request.key}); raise sampling.max_sequence_length"
            )
        if len(self._queue) >= self._max_queue:
            raise EngineStoppedError(f"the queue is full ({self._max_queue} requests): raise inference.max_queue")
        return episode

    def _give_up(self, active: ActiveRequest) -> None:
        """Free what a request holds that nobody waits for any more; its episode stays open."""
        if active not in active.episode.requests:
            return
        active.episode.requests.remove(active)
        if active in self._queue:
            self._queue.remove(active)
        for lane in [lane for lane in active.episode.lanes if lane.active is active]:
            self._slots.retire(lane, in_pass=self._advancing)
        self._wake.set()

    # ------------------------------------------------------------------ weights and lifetime

    async def publish(self, version: int) -> None:
        """Take the weights as they are now as ``version``: every cached KV is void, lanes are fed again."""
        async with self.paused():
            self._passes.publish(version)
            self._slots.void()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Hold the decode loop between passes, for whoever writes the tensors it reads; pauses may overlap."""
        self._num_pauses += 1
        try:
            await self._idle.wait()
            yield
        finally:
            self._num_pauses -= 1
            self._wake.set()

    async def close(self) -> None:
        """Stop the loop after the pass that runs; requests in work end with EngineStoppedError."""
        async with self.paused():
            if self._loop_task is not None:
                self._loop_task.cancel()
                await asyncio.gather(self._loop_task, return_exceptions=True)
            self._stop("the engine was closed")
            self._executor.shutdown()

    # ------------------------------------------------------------------ the decode loop

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._admit()
                lanes = self._slots.lanes
                rows = [lane for lane in lanes if lane.active is not None]
                if self._num_pauses or not rows or not self._may_advance():
                    self._mark(busy=False)
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                self._mark(busy=True)
                self._advancing = True
                try:
                    with working(self.progress, "engine", f"a pass over {len(rows)} sequences"):
                        finished = await loop.run_in_executor(self._executor, self._passes.advance, rows, lanes)
                finally:
                    self._advancing = False
                self._after_pass(rows, finished)
        except Exception as error:
            # Every caller, present and future, gets the failure: a dead loop must not look like a slow one.
            self._stop(f"the engine stopped: {error!r}", error)
        finally:
            self._mark(busy=False)

    def _mark(self, *, busy: bool) -> None:
        if busy == self._idle.is_set():
            self._idle.clear() if busy else self._idle.set()
            self.on_busy(busy)

    def _admit(self) -> None:
        if self._deterministic:
            if not self._may_advance():
                return
            self._queue.sort(key=lambda a: (a.request.key.task_id, a.request.key.attempt, a.request.turn))
        self._queue = self._slots.place(self._queue)

    def _may_advance(self) -> bool:
        return not self._deterministic or all(episode.requests for episode in self._open.values())

    def _after_pass(self, rows: Sequence[Lane], finished: Sequence[Lane]) -> None:
        """Hand out what was sampled and end the replies that have ended."""
        self._slots.settle()
        ended = set(finished)
        for lane in rows:
            active = active_of(lane)
            # A request that was cancelled or closed during the pass, or by a listener just now, hears nothing more.
            if not active.future.done():
                active.tell()
            if lane in ended or active.failure is not None:
                self._slots.leave(lane)
                if active in active.episode.requests:
                    active.episode.requests.remove(active)
                if not active.future.done():
                    active.future.set_result(None)

    def _stop(self, reason: str, failure: BaseException | None = None) -> None:
        """End every request in work, and every later one, with ``reason``; the first reason stays."""
        if not self._stop_reason:
            self._stop_reason, self._failure = reason, failure
        for episode in self._open.values():
            for active in episode.requests:
                if not active.future.done():
                    error = EngineStoppedError(self._stop_reason)
                    error.__cause__ = self._failure
                    active.future.set_exception(error)
            episode.requests.clear()
        self._queue.clear()
