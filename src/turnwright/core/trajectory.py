"""Trajectory: the same attempt in tokens, as they were sampled."""

import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import AlignmentError

TurnKind = Literal["root", "clean", "realign", "fork"]


def hash_ids(token_ids: Iterable[int]) -> str:
    """Return the hash that ties a sampled token to the exact prefix it was sampled under.

    It covers each id as four bytes, little end first, on any machine. An ``array("I")`` is read as it lies in memory.
    """
    words = token_ids if isinstance(token_ids, array) and token_ids.typecode == "I" else array("I", token_ids)
    if sys.byteorder == "big":
        words = array("I", words)
        words.byteswap()
    return blake2b(words, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledTurn:
    """One model call in tokens, written by the recorder at the moment of the request.

    Example: a prompt of two ids answered by two ids::

        SampledTurn(index=0, parent=None, kind="root", prompt_token_ids=(5, 9), sampled_token_ids=(7, 2),
                    logprobs=(-0.1, -0.7), policy_versions=(3, 3), temperature=1.0, top_p=1.0, ...)
    """

    index: int
    """Number of the call within the trajectory, from 0."""
    parent: int | None
    """Turn this one extends; None when it starts a row."""
    kind: TurnKind
    cause: str = ""
    """For a fork: why the history no longer agrees."""
    prompt_token_ids: tuple[int, ...]
    sampled_token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each sampled id under softmax(logits / temperature), within the top-p set."""
    policy_versions: tuple[int, ...]
    """Version of the policy that sampled each id."""
    temperature: float
    top_p: float
    kept_logmass: tuple[float, ...] = ()
    """With top_p < 1: log of the probability mass of the kept set, per sampled id."""
    prefix_hash: str
    """``hash_ids(prompt_token_ids)``, taken when the request was made."""
    abandoned: bool = False
    """The reply never reached the caller: recorded, not trained."""

    def __post_init__(self) -> None:
        """Refuse streams of different lengths: a misaligned token must never reach the learner."""
        expected = len(self.sampled_token_ids)
        for name in ("logprobs", "policy_versions"):
            if len(getattr(self, name)) != expected:
                raise AlignmentError(
                    f"{name} must align with sampled_token_ids: got {len(getattr(self, name))}, expected {expected} "
                    f"(turn {self.index})"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """All model calls of one attempt, in the order they were made."""

    key: EpisodeKey
    turns: tuple[SampledTurn, ...] = ()

    @property
    def num_sampled_tokens(self) -> int:
        """Sampled tokens of all turns, abandoned ones included."""
        return sum(len(turn.sampled_token_ids) for turn in self.turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One training row: a chain of turns merged while the prefix holds. All streams have length T.

    Example: prompt (5, 9), reply (7, 2), tool result (4,), reply (8,)::

        token_ids = (5, 9, 7, 2, 4, 8)
        trained   = (F, F, T, T, F, T)
    """

    key: EpisodeKey
    token_ids: tuple[int, ...]
    trained: tuple[bool, ...]
    """True exactly on sampled tokens that this row trains."""
    logprobs: tuple[float, ...]
    """Sampler's log-probability over the whole vocabulary on trained tokens, 0.0 elsewhere."""
    turn_index: tuple[int, ...]
    """Turn that sampled the token, -1 elsewhere."""
    policy_versions: tuple[int, ...]
    """Version that sampled the token, -1 elsewhere."""
    temperature: tuple[float, ...]
    """Sampling temperature on trained tokens, 1.0 elsewhere."""

    @property
    def num_trained_tokens(self) -> int:
        """Number of trained tokens of the row."""
        return sum(self.trained)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """An episode of a scripted expert in tokens, to learn from by supervision. Both streams have length T."""

    key: EpisodeKey
    token_ids: tuple[int, ...]
    weights: tuple[float, ...]
    """Loss weight of each id; 0.0 on what the expert did not write."""
