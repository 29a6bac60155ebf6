"""What the local engine knows of its open episodes: what their slots hold, what is asked, what is still to be fed."""

import asyncio
from dataclasses import dataclass, field

from turnwright.core.episode import EpisodeKey
from turnwright.inference.base import Generation, GenerationRequest


@dataclass(slots=True, kw_only=True)
class EngineCounters:
    """What the engine has done since it started; tokens, passes and seconds."""

    prefill_tokens: int = 0
    sampled_tokens: int = 0
    reprefilled_tokens: int = 0
    shared_tokens: int = 0
    """Tokens whose KV was copied or shared instead of computed."""
    evictions: int = 0
    decode_passes: int = 0
    extend_passes: int = 0
    busy_seconds: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class ActiveRequest:
    """A request in work."""

    request: GenerationRequest
    future: "asyncio.Future[Generation]"
    pending: list[int] = field(default_factory=list)
    """Ids to feed before the next one can be sampled."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    kept_logmass: list[float] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """What was sampled last is a stop id, or the end of a stop sequence."""
        return self.token_ids[-1] in self.request.stop_token_ids or any(
            tuple(self.token_ids[-len(stop) :]) == stop for stop in self.request.stop_sequences
        )


@dataclass(slots=True, kw_only=True, eq=False)
class OpenSequence:
    """An open episode."""

    key: EpisodeKey
    slot: int | None = None
    prefix_ids: tuple[int, ...] = ()
    resident: list[int] = field(default_factory=list)
    """Ids behind the prefix whose KV is in the slot."""
    active: ActiveRequest | None = None
    last_used: int = 0
    lost_tokens: int = 0
    """Ids that were resident before an eviction or a weight update."""


def slot_of(sequence: OpenSequence) -> int:
    """Return the slot of a sequence, -1 for one that waits for it."""
    return -1 if sequence.slot is None else sequence.slot


def active_of(sequence: OpenSequence) -> ActiveRequest:
    """Return the request in work of a sequence that has one."""
    assert sequence.active is not None
    return sequence.active


def share_histories(rows: list[OpenSequence], everyone: tuple[OpenSequence, ...]) -> dict[OpenSequence, OpenSequence]:
    """Map each sequence to one of its group that holds, or is about to hold, all it is to be fed.

    Attempts at one task share their prompt, and often the first calls and what the tools answered.
    """
    followers: dict[OpenSequence, OpenSequence] = {}
    holders: dict[tuple[str, tuple[int, ...]], list[tuple[OpenSequence, list[int]]]] = {}
    waiting = set(rows)
    for sequence in everyone:
        if sequence.slot is not None and sequence.resident and sequence not in waiting:
            group = holders.setdefault((sequence.key.task_id, sequence.prefix_ids), [])
            group.append((sequence, sequence.resident))
    for sequence in rows:
        history = sequence.resident + active_of(sequence).pending[:-1]
        group = holders.setdefault((sequence.key.task_id, sequence.prefix_ids), [])
        leader = next((holder for holder, held in group if held[: len(history)] == history), None)
        if leader is None:
            group.append((sequence, history))
        else:
            followers[sequence] = leader
    return followers


def common_length(left: list[int], right: list[int], limit: int) -> int:
    """Return how many leading ids both lists share, at most ``limit``."""
    length = min(len(left), len(right), limit)
    if left[:length] == right[:length]:
        return length
    return next(i for i in range(length) if left[i] != right[i])
