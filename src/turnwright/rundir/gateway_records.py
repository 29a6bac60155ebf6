"""Gateway records: what happens to a trajectory, one JSON line each, in the order it happened.

    opened --> turn --> turn --> ... --> sealed --> reward --> ended
                                    (a reward may come before the seal)

A turn's line holds only what it adds to the turn it extends, so a trajectory of n turns takes O(n) space; recovery
(`record_log.recover`) puts ids and messages together again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pydantic_core
from pydantic import Field, TypeAdapter

from turnwright.core.episode import EpisodeKey, FinishReason
from turnwright.core.errors import DatasetError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.outcome import Failed, Outcome, Rewarded, Truncated, TruncationCause
from turnwright.core.task import Task
from turnwright.core.trajectory import TurnKind

SealStatus = Literal["ready", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A trajectory begins; a later one with the same key makes the attempt again."""

    trajectory_id: str
    key: EpisodeKey
    task: Task
    job_arn: str
    time: float
    """Seconds since the epoch, as in every record."""
    kind: Literal["opened"] = "opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecorded:
    """One model call and its reply.

    Example: turn 1 goes on from turn 0, which held the ids (1, 2, 3, 4)::

        TurnRecorded(trajectory_id="t-5f2c", index=1, parent=0, turn_kind="clean", new_prompt_token_ids=(5,),
                     sampled_token_ids=(6, 7), prefix_hash=hash_ids((1, 2, 3, 4, 5)), ...)
    """

    trajectory_id: str
    index: int
    """Number of the call within the trajectory, from 0."""
    parent: int | None
    """Turn this one extends; None when it starts a row."""
    follows: int | None = None
    """Without a parent: the turn whose reply the request answers nevertheless, as a fork may."""
    turn_kind: TurnKind
    cause: str = ""
    """For a fork: why the history no longer agrees."""
    new_prompt_token_ids: tuple[int, ...]
    """Prompt ids after the parent's prompt and sampled ids; the whole prompt without a parent."""
    sampled_token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each sampled id, as in ``SampledTurn``."""
    policy_versions: tuple[int, ...]
    """Version of the policy that sampled each id."""
    temperature: float
    top_p: float
    kept_logmass: tuple[float, ...] = ()
    prefix_hash: str
    """``hash_ids`` of the whole prompt, taken when the request was made."""
    new_messages: tuple[Message, ...]
    """Messages after the parent's reply; the whole request without a parent."""
    tools: tuple[ToolSpec, ...] | None = None
    """Tools of the request; None = those of the parent."""
    reply: Message
    finish_reason: FinishReason
    max_tokens: int
    """Most tokens the reply could have."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    """Seed the request asked for."""
    created: float
    """Seconds since the epoch when the call was made."""
    latency_ms: float = 0.0
    kind: Literal["turn"] = "turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """No more turns."""

    trajectory_id: str
    status: SealStatus
    detail: str = ""
    """For a failed one: why."""
    truncation: TruncationCause | None = None
    """The limit that cut the attempt, if one did."""
    abandoned: tuple[int, ...] = ()
    """Turns whose reply never reached the agent."""
    client_token: str | None = None
    """Repeating the call with it changes nothing."""
    time: float
    kind: Literal["sealed"] = "sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardGiven:
    """The agent's verdict on its own attempt."""

    trajectory_id: str
    values: tuple[float, ...]
    """One = the trajectory's; otherwise one per turn."""
    components: Mapping[str, float] = field(default_factory=dict[str, float])
    client_token: str | None = None
    time: float
    kind: Literal["reward"] = "reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the attempt counts; nothing about it changes any more."""

    trajectory_id: str
    outcome: Outcome
    time: float
    kind: Literal["ended"] = "ended"


GatewayRecord = Opened | TurnRecorded | Sealed | RewardGiven | Ended

_RECORD: TypeAdapter[GatewayRecord] = TypeAdapter(Annotated[GatewayRecord, Field(discriminator="kind")])


def encode(record: GatewayRecord) -> bytes:
    """Return a record as one line of JSON, without its end. Floats keep every bit.

    Raises:
        DatasetError: A task or tool schema holds something that JSON cannot say.
    """
    try:
        return pydantic_core.to_json(record, inf_nan_mode="constants")
    except pydantic_core.PydanticSerializationError as error:
        raise DatasetError(
            f"the {record.kind} record of trajectory {record.trajectory_id!r} cannot be written: {error}; keep "
            "Task.data and tool schemas to JSON values (text, numbers, true, false, null, lists, objects with text "
            "keys)"
        ) from None


def decode(line: bytes) -> GatewayRecord:
    """Read a record; its class follows from its ``kind``. Raises ValueError when it is none."""
    return _RECORD.validate_json(line)


def outcome_of(
    *,
    status: SealStatus,
    rewards: Sequence[float] | None,
    num_turns: int,
    detail: str = "",
    components: Mapping[str, float] | None = None,
    truncation: TruncationCause | None = None,
) -> Outcome | None:
    """Return how a sealed attempt counts; None while it waits for its reward.

    An agent that gives up is a failure whatever reward it posts (AWS's decorator posts 0.0 after an error): a failure
    of infrastructure is never a reward of 0.

    Args:
        status: What the agent said when it completed.
        rewards: What it gave, one value or one per turn; None = nothing yet.
        num_turns: Turns whose reply reached the agent.
        detail: For a failed attempt, why.
        components: Named parts of the reward.
        truncation: The limit that cut the attempt, if one did.
    """
    if status == "failed":
        return Failed(cause="agent_error", detail=detail or "the agent completed it as 'failed' and gave no reason")
    if num_turns == 0:
        return Failed(cause="no_sample", detail="completed without a model call: there is nothing to train")
    if rewards is None:
        return None
    if len(rewards) not in (1, num_turns):
        return Failed(
            cause="bad_reward", detail=f"got {len(rewards)} rewards, expected 1 or one per turn, which are {num_turns}"
        )
    value, turn_values = sum(rewards), tuple(rewards) if len(rewards) > 1 else ()
    if not math.isfinite(value):
        return Failed(cause="bad_reward", detail=f"got rewards whose sum is {value}, expected a finite number")
    if truncation is None:
        return Rewarded(value=value, turn_values=turn_values, components=components or {})
    return Truncated(value=value, cause=truncation, turn_values=turn_values, components=components or {})
