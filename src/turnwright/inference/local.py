"""The embedded engine: continuous batching over an in-process model.

One asyncio task owns the decode loop and is the only one that changes scheduling state; the passes themselves run on
one worker thread, so that tools and agents go on meanwhile.

    generate() -> inbox (bounded) -> admit: a slot, the ids still to be fed -> advance: extend | decode -> future

A sequence (an open episode) keeps its slot between turns; when all slots are taken, a waiting request may take the slot
of an episode that is between turns, which is then fed again (counted). Ids waiting to be fed but for the last are
*extended* in batches; a row with one id left *decodes* with all others. Requests join and leave between decode steps.

Deterministic rounds (ALGORITHMS.md section 5): with ``deterministic`` a pass runs only when every open episode has a
request, in order of task and attempt, so that the composition of batches does not depend on the clock.
"""

import asyncio
import heapq
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ConfigError, ContextOverflowError, EngineStoppedError
from turnwright.inference.base import Generation, GenerationRequest
from turnwright.inference.local_cache import SlotCache, SlotView, bytes_per_token
from turnwright.inference.local_sampling import draw_tokens, uniforms
from turnwright.inference.local_sequences import (
    ActiveRequest,
    EngineCounters,
    OpenSequence,
    active_of,
    common_length,
    share_histories,
    slot_of,
)
from turnwright.models.attention import PrefixView
from turnwright.models.load import Policy

SHORTEST_SHARED_PREFIX = 16
"""Below this many ids a shared prefix costs more bookkeeping than it saves."""
MOST_PREFIXES = 8
EXTENSION_TOKENS = 4096
"""Padded ids fed in one extending pass: bounds memory, and the time a decode step can be kept waiting."""
EXTENSION_SHARE = 0.25
"""Extend when this share of the requests waits for it: an extra pass for one row would hold up all the others."""
STEPS_PER_HOP = 16
"""Decode steps at most before new requests are looked at."""


class LocalEngine:
    """Samples from an in-process model; see the module docstring for the flow."""

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
        self.max_sequence_length = min(max_sequence_length or policy.max_sequence_length, policy.max_sequence_length)
        slot_bytes = bytes_per_token(policy) * (self.max_sequence_length + 1)
        self.num_slots = min(kv_memory_mb * 2**20 // slot_bytes, max_slots)
        if self.num_slots < 1:
            raise ConfigError(
                f"inference.kv_memory_mb = {kv_memory_mb} holds no sequence of {self.max_sequence_length} tokens: "
                f"expected at least {-(-slot_bytes // 2**20)}, or lower sampling.max_sequence_length"
            )
        self._cache = SlotCache.allocate(policy, self.num_slots, self.max_sequence_length)
        self._free = list(range(self.num_slots))
        self._max_queue = max_queue
        self._deterministic = deterministic
        self._num_threads = num_threads
        self._version = 0
        self._open: dict[EpisodeKey, OpenSequence] = {}
        self._prefixes: dict[tuple[int, ...], PrefixView] = {}
        self._queue: list[OpenSequence] = []
        self._clock = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._num_pauses = 0
        self._advancing = False
        self._closed: list[OpenSequence] = []
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
        return self._version

    def open_episode(self, key: EpisodeKey) -> None:
        """Announce an episode; opening one twice is an error."""
        if key in self._open:
            raise ValueError(f"episode {key} is already open: close it before another attempt with the same key")
        self._open[key] = OpenSequence(key=key)

    def close_episode(self, key: EpisodeKey) -> None:
        """Forget an episode and free its slot; a request in work ends with EngineStoppedError."""
        sequence = self._open.pop(key, None)
        if sequence is None:
            return
        if sequence.active is not None and not sequence.active.future.done():
            sequence.active.future.set_exception(EngineStoppedError(f"episode {key} was closed"))
        self._let_go(sequence)

    def _let_go(self, sequence: OpenSequence) -> None:
        """Take a sequence that is open no more out of the engine."""
        if sequence in self._queue:
            self._queue.remove(sequence)
        if self._advancing:
            # The worker thread may be writing to the sequence: its slot is free after the pass.
            self._closed.append(sequence)
        else:
            self._release(sequence)
        self._wake.set()

    async def generate(self, request: GenerationRequest) -> Generation:
        """Sample one reply; see ``Engine.generate`` for errors."""
        if self._stop_reason:
            raise EngineStoppedError(self._stop_reason) from self._failure
        sequence = self._open.get(request.key)
        if sequence is None:
            raise EngineStoppedError(f"episode {request.key} is not open: call open_episode first")
        if sequence.active is not None:
            raise EngineStoppedError(f"episode {request.key} already has a request in work")
        room = self.max_sequence_length - len(request.prompt_token_ids)
        if room < 1 or not request.prompt_token_ids:
            raise ContextOverflowError(
                f"prompt of {len(request.prompt_token_ids)} tokens leaves no room for a reply: expected 1 to "
                f"{self.max_sequence_length - 1} (episode {request.key}); raise sampling.max_sequence_length"
            )
        if len(self._queue) >= self._max_queue:
            raise EngineStoppedError(f"the queue is full ({self._max_queue} requests): raise inference.max_queue")
        if self._loop_task is None:
            self._loop_task = asyncio.create_task(self._run(), name="engine-decode-loop")
        active = ActiveRequest(request=request, future=asyncio.get_running_loop().create_future())
        sequence.active = active
        self._queue.append(sequence)
        self._wake.set()
        try:
            return await active.future
        except asyncio.CancelledError:
            if sequence.active is active and self._open.get(request.key) is sequence:
                # Nobody waits any more. The episode stays open, as a new sequence that has nothing in a slot.
                self._open[request.key] = OpenSequence(key=request.key)
                self._let_go(sequence)
            raise

    # ------------------------------------------------------------------ weights and lifetime

    async def publish(self, version: int) -> None:
        """Take the weights as they are now as ``version``: every cached KV is void, sequences are fed again."""
        async with self.paused():
            self._version = version
            self._prefixes.clear()
            for sequence in self._open.values():
                lost = len(sequence.resident)
                sequence.resident = []
                if sequence.active is not None and sequence not in self._queue:
                    active = sequence.active
                    own = len(sequence.prefix_ids)
                    active.pending = [*active.request.prompt_token_ids[own:], *active.token_ids]
                    self.counters.reprefilled_tokens += lost
                else:
                    sequence.lost_tokens += lost

    def paused(self) -> "_Pause":
        """Hold the decode loop between passes: ``async with engine.paused(): ...``."""
        return _Pause(self)

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
                if self._num_pauses or not self._may_advance():
                    self._idle.set()
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                self._idle.clear()
                rows = sorted((s for s in self._open.values() if s.active and s.slot is not None), key=slot_of)
                everyone = tuple(self._open.values())
                self._advancing = True
                try:
                    finished = await loop.run_in_executor(self._executor, self._advance, rows, everyone)
                finally:
                    self._advancing = False
                for sequence in self._closed:
                    self._release(sequence)
                self._closed.clear()
                for sequence in finished:
                    self._deliver(sequence)
        except Exception as error:
            # Every caller, present and future, gets the failure: a dead loop must not look like a slow one.
            self._stop(f"the engine stopped: {error!r}", error)
        finally:
            self._idle.set()

    def _may_advance(self) -> bool:
        working = [s for s in self._open.values() if s.active is not None]
        if not any(s.slot is not None for s in working):
            return False
        return not self._deterministic or len(working) == len(self._open)

    def _deliver(self, sequence: OpenSequence) -> None:
        active = sequence.active
        if active is None:
            return
        sequence.active = None
        self._clock += 1
        sequence.last_used = self._clock
        generation = Generation(
            token_ids=tuple(active.token_ids),
            logprobs=tuple(active.logprobs),
            policy_versions=tuple(active.versions),
            kept_logmass=tuple(active.kept_logmass) if active.request.top_p < 1.0 else (),
            finish_reason="stop" if active.stopped else "length",
        )
        if not active.future.done():
            active.future.set_result(generation)

    def _stop(self, reason: str, failure: BaseException | None = None) -> None:
        """End every request in work, and every later one, with ``reason``; the first reason stays."""
        if not self._stop_reason:
            self._stop_reason, self._failure = reason, failure
        for sequence in self._open.values():
            if sequence.active is not None and not sequence.active.future.done():
                error = EngineStoppedError(self._stop_reason)
                error.__cause__ = self._failure
                sequence.active.future.set_exception(error)
            sequence.active = None
        self._queue.clear()

    # ------------------------------------------------------------------ admission: slots and what to feed

    def _admit(self) -> None:
        if self._deterministic:
            if not all(sequence.active for sequence in self._open.values()):
                return
            self._queue.sort(key=lambda s: (s.slot is None, s.key.task_id, s.key.attempt))
        waiting: list[OpenSequence] = []
        for sequence in self._queue:
            if sequence.active is None:
                continue
            if sequence.slot is None and not self._take_slot(sequence):
                waiting.append(sequence)
                continue
            self._plan(sequence, sequence.active)
        self._queue = waiting

    def _take_slot(self, sequence: OpenSequence) -> bool:
        if not self._free:
            idle = [s for s in self._open.values() if s.slot is not None and s.active is None]
            if not idle:
                return False
            victim = min(idle, key=lambda s: s.last_used)
            victim.lost_tokens += len(victim.resident)
            self._release(victim)
            self.counters.evictions += 1
        sequence.slot = heapq.heappop(self._free)
        return True

    def _release(self, sequence: OpenSequence) -> None:
        if sequence.slot is not None:
            heapq.heappush(self._free, sequence.slot)
        sequence.slot = None
        sequence.resident = []

    def _plan(self, sequence: OpenSequence, active: ActiveRequest) -> None:
        """Decide which prompt ids are still to be fed, given what the slot holds."""
        prompt = active.request.prompt_token_ids
        shared = min(active.request.shared_prefix_length, len(prompt) - 1)
        prefix_ids = prompt[:shared] if shared >= SHORTEST_SHARED_PREFIX else ()
        if prefix_ids != sequence.prefix_ids:
            sequence.prefix_ids, sequence.resident = prefix_ids, []
        own = list(prompt[len(prefix_ids) :])
        sequence.resident = sequence.resident[: common_length(sequence.resident, own, len(own) - 1)]
        active.pending = own[len(sequence.resident) :]
        self.counters.reprefilled_tokens += min(sequence.lost_tokens, len(active.pending))
        sequence.lost_tokens = 0

    # ------------------------------------------------------------------ passes, on the worker thread

    @torch.inference_mode()
    def _advance(self, rows: list[OpenSequence], everyone: tuple[OpenSequence, ...]) -> list[OpenSequence]:
        """Extend what waits for it, then decode until a reply ends; return the sequences whose reply ended."""
        started = time.perf_counter()
        for sequence in rows:
            self._ensure_prefix(sequence.prefix_ids, everyone)
        extending = [s for s in rows if len(active_of(s).pending) > 1]
        if len(extending) >= max(1, int(EXTENSION_SHARE * len(rows))):
            self._extend(extending, everyone)
        ready = [s for s in rows if len(active_of(s).pending) == 1]
        finished: list[OpenSequence] = []
        steps = 0
        while ready and not finished and steps < STEPS_PER_HOP:
            finished = self._decode(ready)
            steps += 1
        self.counters.busy_seconds += time.perf_counter() - started
        return finished

    def _ensure_prefix(self, prefix_ids: tuple[int, ...], everyone: tuple[OpenSequence, ...]) -> None:
        if not prefix_ids or prefix_ids in self._prefixes:
            return
        in_use = {sequence.prefix_ids for sequence in everyone}
        for old in [ids for ids in self._prefixes if ids not in in_use][: len(self._prefixes) + 1 - MOST_PREFIXES]:
            del self._prefixes[old]
        view = PrefixView()
        ids = torch.tensor([prefix_ids], device=self.policy.device)
        self.policy.hidden_states(ids, torch.arange(len(prefix_ids), device=self.policy.device)[None], view)
        self._prefixes[prefix_ids] = view
        self.counters.prefill_tokens += len(prefix_ids)

    def _extend(self, rows: list[OpenSequence], everyone: tuple[OpenSequence, ...]) -> None:
        """Feed all pending ids but the last of each row; equal histories of a group are fed once and copied."""
        followers = share_histories(rows, everyone)
        # Longest first, so that little of a pass is padding.
        leaders = sorted((s for s in rows if s not in followers), key=lambda s: -len(active_of(s).pending))
        while leaders:
            longest = min(len(active_of(leaders[0]).pending) - 1, EXTENSION_TOKENS)
            batch = leaders[: max(1, EXTENSION_TOKENS // longest)]
            chunks = [active_of(s).pending[:-1][:longest] for s in batch]
            self._forward(batch, chunks)
            for sequence, chunk in zip(batch, chunks, strict=True):
                sequence.resident.extend(chunk)
                del active_of(sequence).pending[: len(chunk)]
            self.counters.prefill_tokens += sum(map(len, chunks))
            self.counters.extend_passes += 1
            leaders = [s for s in leaders if len(active_of(s).pending) > 1]
        for follower, leader in followers.items():
            self._copy_history(leader, follower)

    def _copy_history(self, leader: OpenSequence, follower: OpenSequence) -> None:
        pending = active_of(follower).pending
        assert leader.slot is not None
        assert follower.slot is not None
        start = len(follower.resident)
        follower.resident.extend(pending[:-1])
        self._cache.copy(leader.slot, follower.slot, start, len(follower.resident))
        self.counters.shared_tokens += len(pending) - 1
        del pending[:-1]

    def _decode(self, rows: list[OpenSequence]) -> list[OpenSequence]:
        """Feed one id per row and sample the next; return the rows whose reply ended."""
        logits = self._forward(rows, [active_of(s).pending for s in rows], sample=True)
        actives = [active_of(s) for s in rows]
        draw = draw_tokens(
            logits,
            [a.request.temperature for a in actives],
            [a.request.top_p for a in actives],
            uniforms([a.request.sampling_key for a in actives], [len(a.token_ids) for a in actives]),
        )
        finished: list[OpenSequence] = []
        for sequence, active, token, logprob, kept in zip(
            rows, actives, draw.token_ids, draw.logprobs, draw.kept_logmass, strict=True
        ):
            sequence.resident.extend(active.pending)
            active.pending = [token]
            active.token_ids.append(token)
            active.logprobs.append(logprob)
            active.versions.append(self._version)
            active.kept_logmass.append(kept)
            room = self.max_sequence_length - len(active.request.prompt_token_ids)
            if active.stopped or len(active.token_ids) >= min(active.request.max_tokens, room):
                finished.append(sequence)
        self.counters.sampled_tokens += len(rows)
        self.counters.decode_passes += 1
        return finished

    def _forward(self, rows: list[OpenSequence], chunks: Sequence[list[int]], *, sample: bool = False) -> torch.Tensor:
        """Run one pass over the rows' chunks; return logits [B, V] after each row's last id when sampling."""
        width = max(map(len, chunks))
        behind: dict[tuple[int, ...], list[int]] = {}
        for row, sequence in enumerate(rows):
            if sequence.prefix_ids:
                behind.setdefault(sequence.prefix_ids, []).append(row)
        lengths = torch.tensor([len(s.resident) for s in rows])
        prefix_lengths = torch.tensor([len(s.prefix_ids) for s in rows])
        positions = (prefix_lengths + lengths)[:, None] + torch.arange(width)
        device = self.policy.device
        view = SlotView(
            cache=self._cache,
            slots=torch.tensor([slot_of(s) for s in rows], device=device),
            lengths=lengths.to(device),
            num_new=torch.tensor([len(chunk) for chunk in chunks], device=device),
            prefixes=[(self._prefixes[ids], torch.tensor(m, device=device)) for ids, m in behind.items()],
            num_tokens=width,
        )
        token_ids = torch.tensor([chunk + [0] * (width - len(chunk)) for chunk in chunks], device=device)
        states = self.policy.hidden_states(token_ids, positions.to(device), view)
        return self.policy.logits(states[:, 0]) if sample else states


class _Pause:
    """Holds the decode loop while the learner writes the tensors it reads; pauses may overlap."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine

    async def __aenter__(self) -> None:
        self._engine._num_pauses += 1
        await self._engine._idle.wait()

    async def __aexit__(self, *exc_info: object) -> None:
        self._engine._num_pauses -= 1
        self._engine._wake.set()
