"""Held turn: what is kept of one model call while its trajectory is open. Every id is kept once.

A turn holds the ids it added to the turn it extends, packed, and the messages it added as objects shared with that
turn; whole prompts are put together when somebody asks. A trajectory of n turns and T tokens takes O(n + T) memory.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from turnwright.core.episode import EpisodeKey, FinishReason
from turnwright.core.message import Message, ToolSpec
from turnwright.core.trajectory import SampledTurn, Trajectory, TurnKind
from turnwright.gateway.calls import UsedSampling
from turnwright.rundir.gateway_records import TurnRecorded


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """One recorded model call.

    Example: turn 1 goes on from turn 0, which held the ids (1, 2, 3, 4)::

        Held(index=1, parent=turn_0, kind="clean", new_prompt_ids=array("I", (5,)), sampled_ids=array("I", (6, 7)), ...)
    """

    index: int
    """Number of the call within the trajectory."""
    parent: Optional["Held"]
    """Turn whose ids this one extends; None when it starts a row."""
    follows: Optional["Held"]
    """Turn whose reply the request answers, which a fork does too; None when it answers no recorded reply."""
    kind: TurnKind
    cause: str
    """For a fork: why the history no longer agrees."""
    messages: tuple[Message, ...]
    """The request's messages and the reply, as the parser read it."""
    tools: tuple[ToolSpec, ...]
    new_prompt_ids: "array[int]"
    """Prompt ids after the parent's; the whole prompt without a parent."""
    sampled_ids: "array[int]"
    logprobs: "array[float]"
    policy_versions: "array[int]"
    kept_logmass: "array[float] | tuple[()]"
    """Empty with top_p = 1."""
    num_prompt_tokens: int
    prefix_hash: str
    """``hash_ids`` of the whole prompt, taken when the request was made."""
    used: UsedSampling
    finish_reason: FinishReason
    shared_prefix_length: int
    has_reasoning: bool
    """Some reply of this conversation has reasoning."""
    latency_ms: float

    @property
    def reply(self) -> Message:
        """The assistant message that the sampled ids spell."""
        return self.messages[-1]

    @property
    def new_messages(self) -> tuple[Message, ...]:
        """Messages after the parent's reply; the whole request without a parent."""
        start = len(self.parent.messages) if self.parent else 0
        return self.messages[start:-1]

    @property
    def num_tokens(self) -> int:
        """Ids of prompt and reply."""
        return self.num_prompt_tokens + len(self.sampled_ids)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Prompt and sampled ids."""
        chain: list[Held] = []
        turn: Held | None = self
        while turn is not None:
            chain.append(turn)
            turn = turn.parent
        ids = array("I")
        for turn in reversed(chain):
            ids.extend(turn.new_prompt_ids)
            ids.extend(turn.sampled_ids)
        return tuple(ids)


def build_trajectory(key: EpisodeKey, turns: Iterable[Held], abandoned: frozenset[int]) -> Trajectory:
    """Return the turns in tokens, each prompt whole again.

    Args:
        key: Names the attempt.
        turns: All recorded turns, in order of their numbers.
        abandoned: Numbers of those whose reply never reached the caller.
    """
    whole: dict[int, tuple[int, ...]] = {}
    sampled: list[SampledTurn] = []
    for turn in turns:
        before = whole[turn.parent.index] if turn.parent else ()
        prompt, reply = before + tuple(turn.new_prompt_ids), tuple(turn.sampled_ids)
        whole[turn.index] = prompt + reply
        sampled.append(
            SampledTurn(
                index=turn.index,
                parent=turn.parent.index if turn.parent else None,
                kind=turn.kind,
                cause=turn.cause,
                prompt_token_ids=prompt,
                sampled_token_ids=reply,
                logprobs=tuple(turn.logprobs),
                policy_versions=tuple(turn.policy_versions),
                temperature=turn.used.temperature,
                top_p=turn.used.top_p,
                kept_logmass=tuple(turn.kept_logmass),
                prefix_hash=turn.prefix_hash,
                abandoned=turn.index in abandoned,
            )
        )
    return Trajectory(key=key, turns=tuple(sampled))


def turn_record(trajectory_id: str, turn: Held, created: float) -> TurnRecorded:
    """Return a turn as the log keeps it.

    Args:
        trajectory_id: Trajectory it belongs to.
        turn: The recorded call.
        created: Seconds since the epoch when it was made.
    """
    same_tools = turn.parent is not None and turn.parent.tools == turn.tools
    return TurnRecorded(
        trajectory_id=trajectory_id,
        index=turn.index,
        parent=turn.parent.index if turn.parent else None,
        follows=turn.follows.index if turn.follows and turn.parent is None else None,
        turn_kind=turn.kind,
        cause=turn.cause,
        new_prompt_token_ids=tuple(turn.new_prompt_ids),
        sampled_token_ids=tuple(turn.sampled_ids),
        logprobs=tuple(turn.logprobs),
        policy_versions=tuple(turn.policy_versions),
        temperature=turn.used.temperature,
        top_p=turn.used.top_p,
        kept_logmass=tuple(turn.kept_logmass),
        prefix_hash=turn.prefix_hash,
        new_messages=turn.new_messages,
        tools=None if same_tools else turn.tools,
        reply=turn.reply,
        finish_reason=turn.finish_reason,
        max_tokens=turn.used.max_tokens,
        stop=turn.used.stop,
        seed=turn.used.seed,
        created=created,
        latency_ms=turn.latency_ms,
    )
