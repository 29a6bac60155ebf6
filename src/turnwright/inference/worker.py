"""The engine's own process: a policy loaded from disk, a local engine over it, and calls that come over a socket.

    python -P -m turnwright.inference.worker DESCRIPTOR        one end of a pair of sockets, inherited

    settings --> policy, engine --> Ready | Failure --> frames of calls and answers (wire.py) until the other end closes

A version of the weights is read and checked beside the passes and written between two of them: the engine samples on
under the old one until then, and every token has one version. The process ends with whoever started it, however that
ends: by the end of its input, or, where something else holds the socket or a load takes minutes, by a look at its
parent.
"""

import asyncio
import os
import queue
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NoReturn

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import TurnwrightError
from turnwright.inference.base import Generation
from turnwright.inference.local import LocalEngine
from turnwright.inference.wire import (
    Ask,
    Busy,
    Cancel,
    Channel,
    CloseEpisode,
    Ended,
    Failure,
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
    WorkerSettings,
    receive_now,
    send_now,
)
from turnwright.models.load import load_policy, require_determinism
from turnwright.models.publication import Publication, Replica, fingerprint

PARENT_SECONDS = 1.0
"""Between two looks at the parent."""
STATE_SECONDS = 0.05
"""Counters are this old at most."""


class Worker:
    """Plays the calls that come over a channel on an engine."""

    def __init__(self, engine: LocalEngine, *, deterministic: bool) -> None:
        """Take an engine.

        Args:
            engine: Over a policy that nobody else changes.
            deterministic: It waits for the verdict of a stop rule after each id.
        """
        self._engine = engine
        self._deterministic = deterministic
        self._replica = Replica(engine.policy)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publication")
        self._channel = Channel()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._by_episode: dict[EpisodeKey, set[int]] = {}
        self._rules: dict[int, FarRule] = {}
        self._pauses: dict[int, asyncio.Event] = {}
        self._said: State | None = None
        engine.on_busy = lambda busy: self._channel.send(Busy(busy))

    async def serve(self, end: socket.socket) -> None:
        """Answer until the other side is gone, then close the engine."""
        ticking = asyncio.create_task(self._tick())
        try:
            async for frame in self._channel.frames(end):
                for message in frame:
                    self._take(message)
        finally:
            # An engine that waits for a verdict would wait for ever.
            for rule in self._rules.values():
                rule.judge(stop=True)
            for task in (ticking, *self._calls.values()):
                task.cancel()
            await self._engine.close()
            self._reader.shutdown()

    def _take(self, message: object) -> None:
        match message:
            case OpenEpisode(key):
                self._by_episode[key] = set()
                self._engine.open_episode(key)
            case CloseEpisode(key):
                # Those that have not begun would find the next episode of this key.
                for number in self._by_episode.pop(key) & self._calls.keys():
                    self._calls[number].cancel()
                self._engine.close_episode(key)
            case Ask(number, request):
                self._by_episode[request.key].add(number)
                self._start(number, self._reply(number, lambda: self._answer(message)))
            case Cancel(number) if number in self._calls:
                self._calls[number].cancel()
            case Finish(number) if number in self._rules:
                self._rules[number].stopped = True
            case Verdict(number, stop) if number in self._rules:
                self._rules[number].judge(stop=stop)
            case Publish(number, publication):
                self._start(number, self._reply(number, lambda: self._publish(publication)))
            case Pause(number):
                self._pauses[number] = asyncio.Event()
                self._start(number, self._pause(number, self._pauses[number]))
            case Resume(number):
                self._pauses.pop(number).set()
            case _:
                # What is said about a reply that has ended meanwhile.
                pass

    def _start(self, number: int, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._calls[number] = task
        task.add_done_callback(lambda _: self._calls.pop(number))

    async def _reply(self, number: int, work: Callable[[], Awaitable[Generation | None]]) -> None:
        try:
            ended = Ended(number, generation=await work())
        except Exception as error:
            # The boundary between two processes: what went wrong goes to whoever called.
            ended = Ended(number, failure=Failure.of(error))
        self._say_state()
        self._channel.send(ended)

    async def _answer(self, ask: Ask) -> Generation:
        number, request = ask.number, ask.request
        asks = ask.judged and self._deterministic
        loop = asyncio.get_running_loop()

        def question(token: int) -> None:
            loop.call_soon_threadsafe(self._channel.send, Question(number, token))

        def tell(token_ids: tuple[int, ...]) -> None:
            self._channel.send(Sampled(number, token_ids))

        rule = FarRule(question if asks else None)
        if ask.judged:
            self._rules[number] = rule
            request = replace(request, stop_when=rule)
        try:
            return await self._engine.generate(request, tell if ask.heard or (ask.judged and not asks) else None)
        finally:
            # Nobody will judge what a pass samples for it yet.
            rule.judge(stop=True)
            self._rules.pop(number, None)
            self._by_episode.get(request.key, set()).discard(number)

    async def _publish(self, publication: Publication) -> None:
        loop = asyncio.get_running_loop()
        entries = await loop.run_in_executor(self._reader, self._replica.read, publication)
        async with self._engine.paused():
            await loop.run_in_executor(self._reader, self._replica.apply, publication, entries)
            await self._engine.publish(publication.version)

    async def _pause(self, number: int, resumed: asyncio.Event) -> None:
        async with self._engine.paused():
            self._say_state()
            self._channel.send(Ended(number))
            await resumed.wait()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(STATE_SECONDS)
            self._say_state()

    def _say_state(self) -> None:
        engine = self._engine
        load = engine.num_in_work, engine.num_waiting
        state = State(engine.policy_version, engine.stop_reason, *load, replace(engine.counters))
        if state != self._said:
            self._said = state
            self._channel.send(state)


class FarRule:
    """Stands for a stop rule of the other process; called on the engine's thread."""

    def __init__(self, question: Callable[[int], None] | None) -> None:
        """Wait for a verdict on each id that ``question`` is asked about; None = for none."""
        self.stopped = False
        """The rule said yes, to an id that was sampled earlier or now."""
        self._question = question
        self._verdicts = queue.SimpleQueue[bool]()

    def judge(self, *, stop: bool) -> None:
        """Let the engine go on."""
        self._verdicts.put(stop)

    def __call__(self, token_ids: Sequence[int]) -> bool:
        """Tell whether the reply ends."""
        if self._question is None:
            return self.stopped
        self._question(token_ids[-1])
        return self._verdicts.get()


def main() -> None:
    """Serve one process until it is gone."""
    # Ctrl-C in a terminal is for the process that this one works for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=int(sys.argv[1]))
    try:
        settings: WorkerSettings = receive_now(end)
    except EOFError:
        return
    threading.Thread(target=_watch_parent, args=(settings,), name="parent", daemon=True).start()
    try:
        engine = _build(settings)
        ready = Ready(
            num_slots=engine.num_slots,
            max_sequence_length=engine.max_sequence_length,
            fingerprint=fingerprint(engine.policy),
        )
    except TurnwrightError as error:
        send_now(end, Failure.of(error))
        sys.exit(1)
    send_now(end, ready)
    asyncio.run(Worker(engine, deterministic=settings.deterministic).serve(end))
    _leave(settings)


def _build(settings: WorkerSettings) -> LocalEngine:
    if settings.deterministic:
        require_determinism()
    return LocalEngine(
        load_policy(settings.model, dtype=settings.dtype, adapters=settings.adapters),
        kv_memory_mb=settings.kv_memory_mb,
        max_queue=settings.max_queue,
        max_slots=settings.max_slots,
        max_sequence_length=settings.max_sequence_length,
        num_threads=settings.num_threads,
        deterministic=settings.deterministic,
    )


def _watch_parent(settings: WorkerSettings) -> None:
    while os.getppid() == settings.parent:
        time.sleep(PARENT_SECONDS)
    _leave(settings)


def _leave(settings: WorkerSettings) -> NoReturn:
    """End at once: nothing here is worth keeping, and a pass may run for long."""
    # The parent does this too where it still can; its socket closes before anybody can see that it is dead.
    shutil.rmtree(settings.folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
