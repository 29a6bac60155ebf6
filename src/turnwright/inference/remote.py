"""ProcessEngine: a local engine in a process of its own, with weights of its own, as its caller knows one.

    generate, open_episode, ... --frames--> worker.py: LocalEngine over the same policy, loaded from disk
    publish --Publisher--> file --> the worker checks it, swaps between two passes, acknowledges
             <--ids, replies, counters-- one task here takes them in

Two processes compute at once: no lock of the interpreter is shared, and whoever trains here writes tensors that nobody
samples from. Stop rules stay here, because they are functions: the worker samples on while a rule looks at what came,
and what it sampled too much is cut off. A deterministic engine waits for each verdict instead, so that no batch
depends on the clock.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from itertools import count
from typing import Any, Protocol

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import EngineStoppedError
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.inference.base import Generation, GenerationRequest, TokenListener
from turnwright.inference.local_sequences import EngineCounters
from turnwright.inference.wire import (
    Ask,
    Busy,
    Cancel,
    Channel,
    CloseEpisode,
    Ended,
    Finish,
    OpenEpisode,
    Pause,
    Publish,
    Question,
    Ready,
    Resume,
    Sampled,
    State,
    Verdict,
)
from turnwright.models.publication import Publication, Publisher

PASSES = "passes in a process of its own"


class RunningWorker(Protocol):
    """Whoever answers at the other end of a pair of sockets; ``worker_process.WorkerProcess`` in a run."""

    ready: Ready
    end_here: socket.socket

    def end(self) -> str:
        """Let it end, or see how it ended; wait for that and return it as a sentence."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """Something that the worker will answer."""

    number: int
    future: "asyncio.Future[Generation | None]"
    request: GenerationRequest | None = None
    """None for what is no request."""
    on_tokens: TokenListener | None = None
    token_ids: list[int] = field(default_factory=list)
    """Ids that the stop rule has seen."""
    cut: int | None = None
    """Length at which the stop rule said yes."""
    failure: Exception | None = None
    """What the caller's stop rule or listener raised."""

    def judge(self, token: int) -> bool:
        """Ask the stop rule about one more id; return whether the reply ends with it."""
        assert self.request is not None
        self.token_ids.append(token)
        rule = self.request.stop_when
        if token not in self.request.stop_token_ids and rule is not None and rule(self.token_ids):
            self.cut = len(self.token_ids)
        return self.cut is not None or token in self.request.stop_token_ids

    def tell(self, token_ids: tuple[int, ...]) -> None:
        """Give ids to the listener."""
        if self.on_tokens is not None and token_ids:
            self.on_tokens(token_ids)


class ProcessEngine:
    """Samples in another process; see the module docstring for the flow."""

    shares_weights = False

    def __init__(self, worker: RunningWorker, publisher: Publisher, *, deterministic: bool = False) -> None:
        """Take over a worker that is ready.

        Args:
            worker: Ends with this engine.
            publisher: Of the policy that is trained here.
            deterministic: The worker's engine advances in rounds.
        """
        self.counters = EngineCounters()
        self.on_busy: Callable[[bool], None] = lambda busy: None
        """Told on the event loop when the engine begins to compute (True) and when it has nothing to do (False)."""
        self.progress: Progress = UNWATCHED
        """Told that passes are made, and whenever they have moved."""
        self.max_sequence_length = worker.ready.max_sequence_length
        self.num_slots = worker.ready.num_slots
        self.published: Publication | None = None
        """The version that was published last, with its size."""
        self._worker = worker
        self._publisher = publisher
        self._deterministic = deterministic
        self._channel = Channel()
        self._numbers = count()
        self._calls: dict[int, Call] = {}
        self._open: dict[EpisodeKey, set[Call]] = {}
        self._publishing = asyncio.Lock()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publication")
        self._listening: asyncio.Task[None] | None = None
        self._state = State(0, "", 0, 0, EngineCounters())
        self._busy = False
        self._closed = False
        self._stop_reason = ""

    # ------------------------------------------------------------------ the Engine protocol

    @property
    def policy_version(self) -> int:
        """Version that samples the next token."""
        return self._state.policy_version

    @property
    def num_in_work(self) -> int:
        """Requests that had a slot when the worker said so last."""
        return self._state.num_in_work

    @property
    def num_waiting(self) -> int:
        """Requests that waited for one then."""
        return self._state.num_waiting

    @property
    def stop_reason(self) -> str:
        """Why every request is refused; empty while the engine works."""
        return self._stop_reason

    def open_episode(self, key: EpisodeKey) -> None:
        """Announce an episode; opening one twice is an error."""
        if key in self._open:
            raise ValueError(f"episode {key} is already open: close it before another attempt with the same key")
        self._open[key] = set()
        self._channel.send(OpenEpisode(key))

    def close_episode(self, key: EpisodeKey) -> None:
        """Forget an episode; requests in work end with EngineStoppedError."""
        calls = self._open.pop(key, None)
        if calls is None:
            return
        for call in calls:
            self._calls.pop(call.number, None)
            if not call.future.done():
                call.future.set_exception(EngineStoppedError(f"episode {key} was closed"))
        self._channel.send(CloseEpisode(key))

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        """Sample one reply; see ``Engine.generate`` for errors."""
        self._require_running()
        calls = self._open.get(request.key)
        if calls is None:
            raise EngineStoppedError(f"episode {request.key} is not open: call open_episode first")
        call = self._call(request, on_tokens)
        calls.add(call)
        judged = request.stop_when is not None
        bare = replace(request, stop_when=None)
        self._channel.send(Ask(call.number, bare, heard=on_tokens is not None, judged=judged))
        try:
            generation = await self._answer(call)
        except asyncio.CancelledError:
            self._channel.send(Cancel(call.number))
            raise
        finally:
            calls.discard(call)
        if call.failure is not None:
            raise call.failure
        assert generation is not None
        return generation if call.cut is None else _cut(generation, call.cut)

    # ------------------------------------------------------------------ weights and lifetime

    async def publish(self, version: int) -> None:
        """Sample as ``version`` from the weights of the policy here, which must not change until this returns.

        The worker samples on under the version before until the new one is there.

        Raises:
            PublicationError: The version did not arrive; the worker keeps the weights it has.
            EngineStoppedError: The worker is gone.
        """
        async with self._publishing:
            self._require_running()
            publication = None
            try:
                publication = await self._beside(self._publisher.write, version)
                call = self._call()
                self._channel.send(Publish(call.number, publication))
                await self._answer(call)
                self._publisher.accept(publication)
            except BaseException:
                # Whether it arrived is not known.
                self._publisher.forget()
                raise
            finally:
                if publication is not None:
                    publication.file.unlink(missing_ok=True)
            self.published = publication

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Sample nothing inside the block; pauses may overlap."""
        if self._stop_reason:
            yield
            return
        self._attach()
        call = self._call()
        self._channel.send(Pause(call.number))
        try:
            # An engine that has stopped meanwhile samples nothing either.
            with suppress(EngineStoppedError):
                await self._answer(call)
            yield
        finally:
            self._channel.send(Resume(call.number))

    async def close(self) -> None:
        """End the worker; requests in work end with EngineStoppedError."""
        self._stop("the engine was closed")
        if self._closed:
            return
        self._closed = True
        await self._beside(self._worker.end)
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self._worker.end_here.close()
        self._executor.shutdown()

    # ------------------------------------------------------------------ calls and answers

    def _require_running(self) -> None:
        if self._stop_reason:
            raise EngineStoppedError(self._stop_reason)
        self._attach()

    def _attach(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="engine-answers")

    def _call(self, request: GenerationRequest | None = None, on_tokens: TokenListener | None = None) -> Call:
        future = asyncio.get_running_loop().create_future()
        call = Call(number=next(self._numbers), future=future, request=request, on_tokens=on_tokens)
        self._calls[call.number] = call
        if self._stop_reason:
            future.set_exception(EngineStoppedError(self._stop_reason))
        return call

    async def _answer(self, call: Call) -> Generation | None:
        try:
            await self._channel.drain()
            return await call.future
        finally:
            self._calls.pop(call.number, None)

    async def _beside(self, work: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    async def _listen(self) -> None:
        try:
            async for frame in self._channel.frames(self._worker.end_here):
                for message in frame:
                    self._take(message)
        except Exception as error:
            # Every caller gets the failure: answers that nobody takes in must not look like a slow engine.
            self._stop(f"what the engine's process says cannot be taken in: {error!r}")
        self._stop(f"{await self._beside(self._worker.end)}: what it said is on standard error")

    def _take(self, message: object) -> None:
        match message:
            case State():
                self._state = message
                for one in fields(message.counters):
                    setattr(self.counters, one.name, getattr(message.counters, one.name))
                if message.stop_reason:
                    self._stop(message.stop_reason)
                elif self._busy:
                    self.progress.begin("engine", PASSES)
            case Busy(busy):
                self._mark(busy=busy)
            case Question(number, token):
                self._judge(number, token)
            case Sampled(number, token_ids) if number in self._calls:
                self._hear(self._calls[number], token_ids)
            case Ended(number, generation, failure) if number in self._calls:
                future = self._calls[number].future
                if not future.done():
                    future.set_result(generation) if failure is None else future.set_exception(failure.error())
            case _:
                # About a reply that nobody waits for any more.
                pass

    def _judge(self, number: int, token: int) -> None:
        """Answer the question of a deterministic engine, which waits, whether the caller still does or not."""
        call, stop = self._calls.get(number), True
        if call is not None:
            try:
                stop = call.judge(token)
            except Exception as error:
                self._fail(call, error)
        self._channel.send(Verdict(number, stop))

    def _hear(self, call: Call, token_ids: tuple[int, ...]) -> None:
        if call.future.done():
            return
        try:
            call.tell(token_ids if self._deterministic else self._up_to_stop(call, token_ids))
        except Exception as error:
            self._fail(call, error)
            self._channel.send(Cancel(call.number))

    def _up_to_stop(self, call: Call, token_ids: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of the ids that belong to the reply, and let the worker know when it has ended."""
        if call.cut is not None:
            return ()
        if call.request is None or call.request.stop_when is None:
            return token_ids
        for number, token in enumerate(token_ids, start=1):
            call.judge(token)
            if call.cut is not None:
                self._channel.send(Finish(call.number))
                return token_ids[:number]
        return token_ids

    def _fail(self, call: Call, error: Exception) -> None:
        """End a request by what its caller's own code raised."""
        call.failure = error
        if not call.future.done():
            call.future.set_result(None)

    def _mark(self, *, busy: bool) -> None:
        if busy != self._busy:
            self._busy = busy
            self.on_busy(busy)
            self.progress.begin("engine", PASSES) if busy else self.progress.end("engine")

    def _stop(self, reason: str) -> None:
        """End every call in work, and every later one, with ``reason``; the first reason stays."""
        self._stop_reason = self._stop_reason or reason
        for call in self._calls.values():
            if not call.future.done():
                call.future.set_exception(EngineStoppedError(self._stop_reason))
        self._mark(busy=False)


def _cut(generation: Generation, length: int) -> Generation:
    """Return the beginning of a reply, which ends because a stop rule said so."""
    return replace(
        generation,
        token_ids=generation.token_ids[:length],
        logprobs=generation.logprobs[:length],
        policy_versions=generation.policy_versions[:length],
        kept_logmass=generation.kept_logmass[:length],
        finish_reason="stop",
    )
