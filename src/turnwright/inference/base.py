"""Engine: token ids in; token ids, log-probabilities and policy versions out."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from turnwright.core.episode import EpisodeKey, FinishReason
from turnwright.core.protocols import Progress

StopRule = Callable[[Sequence[int]], bool]
"""Given all ids sampled so far, tells whether the reply ends here."""

TokenListener = Callable[[tuple[int, ...]], None]
"""Takes the ids that were sampled since it was called last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One model call of an open episode.

    Example::

        GenerationRequest(key=EpisodeKey(task_id="t1", attempt=0), turn=0, prompt_token_ids=(1, 2, 3),
                          shared_prefix_length=2, max_tokens=48, stop_token_ids=frozenset({4}), sampling_key=77)
    """

    key: EpisodeKey
    turn: int
    """Number of the call within the trajectory; orders deterministic rounds together with ``key``."""
    prompt_token_ids: tuple[int, ...]
    shared_prefix_length: int = 0
    """Leading ids that many requests share (system text and tools); their KV is kept once."""
    max_tokens: int
    temperature: float = 1.0
    """0 = greedy."""
    top_p: float = 1.0
    stop_token_ids: frozenset[int] = frozenset()
    """A sampled stop id ends the reply and is part of it."""
    stop_when: StopRule | None = None
    """Asked after each sampled id, which is part of the reply either way; may run on the engine's thread."""
    sampling_key: int = 0
    """Key of the request's random stream (core/seeding.py); position t of the reply uses (key, t)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What the engine sampled. All tuples have the same length."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural logs under softmax(logits / temperature), renormalised over the top-p set; greedy: temperature 1."""
    policy_versions: tuple[int, ...]
    kept_logmass: tuple[float, ...] = ()
    """With top_p < 1: log of the kept set's mass, per id."""
    finish_reason: FinishReason = "stop"


class Engine(Protocol):
    """An inference engine serving one policy.

    An episode is opened before its first request and closed after its last: between turns its KV may be kept,
    and deterministic rounds wait for every open episode. It may have several requests in work at once.
    """

    @property
    def policy_version(self) -> int:
        """Version that samples the next token."""
        ...

    @property
    def max_sequence_length(self) -> int:
        """Most ids a prompt and its reply may have together."""
        ...

    def open_episode(self, key: EpisodeKey) -> None:
        """Announce an episode."""
        ...

    def close_episode(self, key: EpisodeKey) -> None:
        """Forget an episode, end its requests in work and free its KV; unknown keys are ignored."""
        ...

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        """Sample one reply.

        Args:
            request: What to sample; cancelling the call frees all it holds.
            on_tokens: Called on the event loop with each sampled id once, in order, the stop id included, the last
                ones before this returns.

        Raises:
            ContextOverflowError: The prompt leaves no room.
            EngineStoppedError: The queue is full, or the engine or the episode is closed.
            Exception: What ``stop_when`` or ``on_tokens`` raised ends this request and no other.
        """
        ...


class TrainedEngine(Engine, Protocol):
    """An engine whose weights a learner changes."""

    on_busy: Callable[[bool], None]
    """Told on the event loop when it begins to compute (True) and when it has nothing to do (False)."""
    progress: Progress
    """Told what it is at."""

    @property
    def stop_reason(self) -> str:
        """Why every request is refused; empty while the engine works."""
        ...

    @property
    def shares_weights(self) -> bool:
        """Whether it reads the learner's own tensors: then nobody may write them while it samples."""
        ...

    @property
    def num_slots(self) -> int:
        """Requests that it can compute at once."""
        ...

    @property
    def num_in_work(self) -> int:
        """Requests that it computes."""
        ...

    @property
    def num_waiting(self) -> int:
        """Requests that wait for room."""
        ...

    async def publish(self, version: int) -> None:
        """Sample as ``version`` from the learner's weights as they are now; nothing computed before counts."""
        ...

    def paused(self) -> AbstractAsyncContextManager[None]:
        """Sample nothing inside the block, for whoever writes tensors that the engine reads; pauses may overlap."""
        ...

    async def close(self) -> None:
        """Stop; requests in work end with EngineStoppedError."""
        ...
