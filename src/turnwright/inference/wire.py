"""What an engine's process and the process it samples for say to each other, over a pair of sockets.

    here --OpenEpisode, CloseEpisode, Ask, Cancel, Finish, Verdict, Publish, Pause, Resume--> worker
    here <--Sampled, Question, Busy, State, Ended-------------------------------------------- worker

Each call that is answered (Ask, Publish, Pause) has a number, which its answers carry. What one side says within one
turn of its event loop travels as one frame and is taken in within one turn of the other's, so that rounds of a
deterministic engine see the same as within one process. Frames are pickled: both ends are this program.
"""

import asyncio
import pickle
import socket
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from turnwright.core import errors
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import EngineStoppedError
from turnwright.inference.base import Generation, GenerationRequest
from turnwright.inference.local_sequences import EngineCounters
from turnwright.models.adapters import AdapterSettings
from turnwright.models.publication import Publication

SIZE_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is told first; the engine's own names and meanings are those of ``LocalEngine``."""

    model: str
    """Folder or hub id of the policy, as ``load_policy`` takes it."""
    dtype: Literal["float32", "bfloat16"]
    adapters: AdapterSettings | None
    """Adapters that are trained."""
    kv_memory_mb: int
    max_queue: int
    max_slots: int
    max_sequence_length: int | None
    num_threads: int | None
    deterministic: bool
    parent: int
    """Process that the worker works for: without it, it ends."""
    folder: Path
    """Where versions are published; whoever of the two ends last removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error on its way to the other process."""

    kind: str
    """Name of its class."""
    text: str

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Describe an error."""
        return cls(kind=type(error).__name__, text=str(error))

    def error(self) -> Exception:
        """Return one of our own errors as it was, and any other as an engine that does not work."""
        known = getattr(errors, self.kind, None)
        return EngineStoppedError(f"the engine failed: {self.kind}: {self.text}") if known is None else known(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The worker's first word: its engine works."""

    num_slots: int
    max_sequence_length: int
    fingerprint: dict[str, str]
    """Of the policy that it loaded; see ``models/publication.py``."""


@dataclass(frozen=True, slots=True)
class OpenEpisode:
    """Announce an episode."""

    key: EpisodeKey


@dataclass(frozen=True, slots=True)
class CloseEpisode:
    """Forget an episode and end its requests."""

    key: EpisodeKey


@dataclass(frozen=True, slots=True)
class Ask:
    """Sample one reply."""

    number: int
    request: GenerationRequest
    """Without its stop rule, which stays where it is."""
    heard: bool
    """Say what is sampled while it is."""
    judged: bool
    """There is a stop rule: a deterministic engine waits for a verdict on each id, any other samples on meanwhile."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for a reply any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The stop rule of a reply said yes: sample no more for it than cannot be helped."""

    number: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stop rule said to a Question."""

    number: int
    stop: bool


@dataclass(frozen=True, slots=True)
class Publish:
    """Take a version of the weights."""

    number: int
    publication: Publication


@dataclass(frozen=True, slots=True)
class Pause:
    """Sample nothing from the answer on until Resume."""

    number: int


@dataclass(frozen=True, slots=True)
class Resume:
    """End a pause."""

    number: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """Ids of a reply that is heard, in order."""

    number: int
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Does the reply end with this id? The engine waits."""

    number: int
    token: int


@dataclass(frozen=True, slots=True)
class Busy:
    """The engine begins to compute, or has nothing to do."""

    busy: bool


@dataclass(frozen=True, slots=True)
class State:
    """What the engine is like at this point."""

    policy_version: int
    stop_reason: str
    num_in_work: int
    num_waiting: int
    counters: EngineCounters


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer to a call."""

    number: int
    generation: Generation | None = None
    failure: Failure | None = None


class Channel:
    """One end of the pair, in an event loop; what is sent before it is open waits."""

    def __init__(self) -> None:
        """Start closed."""
        self._outbox: list[object] = []
        self._writer: asyncio.StreamWriter | None = None

    def send(self, message: object) -> None:
        """Say something with all else that is said in this turn of the loop."""
        self._outbox.append(message)
        if len(self._outbox) == 1 and self._writer is not None:
            asyncio.get_running_loop().call_soon(self._flush)

    async def frames(self, end: socket.socket) -> AsyncGenerator[Sequence[Any]]:
        """Open the channel and yield what the other side says, frame by frame, until it is gone or this is closed."""
        reader, self._writer = await asyncio.open_unix_connection(sock=end)
        try:
            self._flush()
            while True:
                size = int.from_bytes(await reader.readexactly(SIZE_BYTES))
                yield pickle.loads(await reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.close()

    async def drain(self) -> None:
        """Wait while the other side is far behind."""
        if self._writer is not None:
            try:
                await self._writer.drain()
            except ConnectionError:
                # Whoever reads from the channel learns of it and says why.
                return

    def close(self) -> None:
        """Say no more; the other side sees the end after what was said."""
        if self._writer is not None:
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if self._outbox and self._writer is not None and not self._writer.is_closing():
            self._writer.write(_frame(self._outbox))
        self._outbox = []


def send_now(end: socket.socket, message: object) -> None:
    """Say one thing before there is an event loop."""
    end.sendall(_frame(message))


def receive_now(end: socket.socket) -> Any:
    """Wait for one thing before there is an event loop.

    Raises EOFError when the other side is gone.
    """
    return pickle.loads(_receive(end, int.from_bytes(_receive(end, SIZE_BYTES))))


def _frame(content: object) -> bytes:
    payload = pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)
    return len(payload).to_bytes(SIZE_BYTES) + payload


def _receive(end: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        try:
            part = end.recv(size - len(received))
        except ConnectionError:
            part = b""
        if not part:
            raise EOFError("the other side of the pair is gone")
        received += part
    return bytes(received)
