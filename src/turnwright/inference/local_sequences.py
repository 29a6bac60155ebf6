"""What the local engine knows of its open episodes: what is asked, what their slots hold, what is still to be fed.

    OpenEpisode --has in work--> ActiveRequest, each in a Lane or queued for one
                --holds--------> Lane, each with a slot; idle between requests

Only the event loop changes who is in which lane, and only between passes; a pass changes what a lane holds.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from turnwright.core.episode import EpisodeKey
from turnwright.inference.base import Generation, GenerationRequest, TokenListener

SHORTEST_COPY = 16
"""Below this many ids a copy costs more than feeding them."""

Group = tuple[str, tuple[int, ...]]
"""Task id and shared prefix: lanes that agree on both may hold the same history behind the prefix."""


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
class OpenEpisode:
    """An open episode."""

    key: EpisodeKey
    requests: "list[ActiveRequest]" = field(default_factory=list)
    """Requests in work, with a lane or without."""
    lanes: "list[Lane]" = field(default_factory=list)
    evicted: list[int] = field(default_factory=list)
    """Lengths of the histories whose slots others took."""


@dataclass(slots=True, kw_only=True, eq=False)
class ActiveRequest:
    """A request in work, and what has been sampled for it."""

    request: GenerationRequest
    episode: OpenEpisode
    on_tokens: TokenListener | None
    future: "asyncio.Future[None]"
    """Done when the reply has ended, has failed, or was given up."""
    pending: list[int] = field(default_factory=list)
    """Ids to feed before the next one can be sampled."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    kept_logmass: list[float] = field(default_factory=list)
    stopped: bool = False
    """What was sampled last ends the reply."""
    failure: Exception | None = None
    """What the caller's stop rule or listener raised."""
    num_told: int = 0
    """Leading ids that the listener has been given."""

    def add(self, token: int, *, logprob: float, version: int, kept_logmass: float) -> None:
        """Take one sampled id and find out whether it ends the reply."""
        self.pending = [token]
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        self.versions.append(version)
        self.kept_logmass.append(kept_logmass)
        rule = self.request.stop_when
        try:
            self.stopped = token in self.request.stop_token_ids or (rule is not None and bool(rule(self.token_ids)))
        except Exception as error:
            # The caller's rule: its failure ends this request, not the engine.
            self.failure = error

    def tell(self) -> None:
        """Give the listener what it has not been given yet."""
        if self.on_tokens is None or self.failure is not None or self.num_told == len(self.token_ids):
            return
        new_ids = tuple(self.token_ids[self.num_told :])
        self.num_told += len(new_ids)
        try:
            self.on_tokens(new_ids)
        except Exception as error:
            self.failure = error

    def generation(self) -> Generation:
        """Return what was sampled."""
        return Generation(
            token_ids=tuple(self.token_ids),
            logprobs=tuple(self.logprobs),
            policy_versions=tuple(self.versions),
            kept_logmass=tuple(self.kept_logmass) if self.request.top_p < 1.0 else (),
            finish_reason="stop" if self.stopped else "length",
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Lane:
    """One sequence of ids of an open episode, in its slot."""

    episode: OpenEpisode
    slot: int
    prefix_ids: tuple[int, ...] = ()
    resident: list[int] = field(default_factory=list)
    """Ids behind the prefix whose KV is in the slot."""
    active: ActiveRequest | None = None
    last_used: int = 0
    lost_tokens: int = 0
    """Ids that were resident before an eviction or a weight update."""

    @property
    def group(self) -> Group:
        """Where lanes with the same history are looked for."""
        return self.episode.key.task_id, self.prefix_ids

    def held_start(self, prompt: tuple[int, ...]) -> int:
        """Return how many leading ids of a prompt this lane holds."""
        own = len(self.prefix_ids)
        if prompt[:own] != self.prefix_ids:
            return 0
        return own + common_length(self.resident, list(prompt[own:]))


def active_of(lane: Lane) -> ActiveRequest:
    """Return the request in work of a lane that has one."""
    assert lane.active is not None
    return lane.active


def history_of(lane: Lane) -> list[int]:
    """Return what a lane is to hold before it decodes."""
    return lane.resident + active_of(lane).pending[:-1]


def by_group(lanes: Iterable[Lane]) -> dict[Group, list[Lane]]:
    """Return the lanes that hold something, by group."""
    groups: dict[Group, list[Lane]] = {}
    for lane in lanes:
        if lane.resident:
            groups.setdefault(lane.group, []).append(lane)
    return groups


def share_histories(rows: Sequence[Lane], groups: dict[Group, list[Lane]]) -> dict[Lane, Lane]:
    """Map each lane to one of its group that holds, or is about to hold, all it is to be fed.

    Attempts at one task share their prompt, and often the first calls and what the tools answered.
    """
    followers: dict[Lane, Lane] = {}
    waiting = set(rows)
    holders: dict[Group, list[tuple[Lane, list[int]]]] = {
        group: [(lane, lane.resident) for lane in lanes if lane not in waiting] for group, lanes in groups.items()
    }
    for lane in rows:
        history = history_of(lane)
        held_by = holders.setdefault(lane.group, [])
        leader = next((holder for holder, held in held_by if held[: len(history)] == history), None)
        if leader is None:
            held_by.append((lane, history))
        else:
            followers[lane] = leader
    return followers


def longest_start(lane: Lane, holders: Iterable[Lane]) -> tuple[Lane, int] | None:
    """Return who holds most of the start of a lane's history, and how many ids; None when that saves next to nothing.

    Calls of one episode that go on from the same turn share its history but not what follows.
    """
    history = history_of(lane)
    best: Lane | None = None
    length = len(lane.resident) + SHORTEST_COPY - 1
    for holder in holders:
        if holder is not lane and len(history) > length and holder.resident[: length + 1] == history[: length + 1]:
            best, length = holder, common_length(holder.resident, history)
    return None if best is None else (best, length)


def common_length(left: list[int], right: list[int]) -> int:
    """Return how many leading ids both lists share."""
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return high
    # Comparing halves runs in C; walking along two histories of thousands of ids does not.
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low
