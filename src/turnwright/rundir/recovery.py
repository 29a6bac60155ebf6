"""Recovery: the records of one trajectory in, the attempt as the run counts it out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from turnwright.core.episode import Episode, Turn
from turnwright.core.errors import AlignmentError
from turnwright.core.group import Attempt
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Outcome
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids
from turnwright.rundir.gateway_records import (
    Ended,
    GatewayRecord,
    Opened,
    RewardGiven,
    Sealed,
    TurnRecorded,
    outcome_of,
)

Record = TypeVar("Record", Opened, Sealed, Ended)

RecoveredState = Literal["interrupted", "ready", "failed", "rewarded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredTrajectory:
    """A trajectory as its records tell it."""

    opened: Opened
    turns: tuple[TurnRecorded, ...]
    """In order of their numbers."""
    trajectory: Trajectory
    """The turns in tokens, each prompt whole again and checked against its hash."""
    sealed: Sealed | None = None
    rewards: tuple[RewardGiven, ...] = ()
    """In order of arrival; the last one counts."""
    ended: Ended | None = None

    @property
    def outcome(self) -> Outcome | None:
        """How the attempt counts; None while it is open or waits for its reward."""
        if self.ended is not None:
            return self.ended.outcome
        if self.sealed is None:
            return None
        reward = self.rewards[-1] if self.rewards else None
        return outcome_of(
            status=self.sealed.status,
            rewards=reward.values if reward else None,
            num_turns=len(self.turns),
            detail=self.sealed.detail,
            components=reward.components if reward else None,
            truncation=self.sealed.truncation,
        )

    @property
    def state(self) -> RecoveredState:
        """Where it stood: "interrupted" = still open, so the attempt has to be made again."""
        outcome = self.outcome
        if outcome is None:
            return "interrupted" if self.sealed is None else "ready"
        return "failed" if isinstance(outcome, Failed) else "rewarded"

    def attempt(self) -> Attempt | None:
        """Return the attempt, in messages and in tokens; None while it has no outcome."""
        outcome = self.outcome
        if outcome is None:
            return None
        first = self.turns[0] if self.turns else None
        responses = _responses(self.turns)
        sampled = {turn.index: turn for turn in self.trajectory.turns}
        episode = Episode(
            key=self.opened.key,
            task=self.opened.task,
            opening=first.new_messages if first else (),
            tools=(first.tools or ()) if first else (),
            turns=tuple(_turn(turn, sampled[turn.index], responses.get(turn.index, ())) for turn in self.turns),
            outcome=outcome,
        )
        return Attempt(episode=episode, trajectory=self.trajectory)


def rebuild(records: Sequence[GatewayRecord]) -> RecoveredTrajectory:
    """Put one trajectory together from its records, in the order they were written.

    Raises:
        AlignmentError: They contradict each other; the message names trajectory and turn.
    """
    opened = records[0]
    if not isinstance(opened, Opened):
        raise AlignmentError(
            f"a trajectory must begin by being opened: got its {opened.kind!r} record first (trajectory "
            f"{opened.trajectory_id!r}); the log has lost a record"
        )
    _at_most_one(records, Opened)
    sealed = _at_most_one(records, Sealed)
    turns = sorted((record for record in records if isinstance(record, TurnRecorded)), key=lambda turn: turn.index)
    return RecoveredTrajectory(
        opened=opened,
        turns=tuple(turns),
        trajectory=Trajectory(key=opened.key, turns=_sampled(turns, frozenset(sealed.abandoned if sealed else ()))),
        sealed=sealed,
        rewards=tuple(record for record in records if isinstance(record, RewardGiven)),
        ended=_at_most_one(records, Ended),
    )


def _at_most_one(records: Sequence[GatewayRecord], kind: type[Record]) -> Record | None:
    found = [record for record in records if isinstance(record, kind)]
    if len(found) > 1:
        raise AlignmentError(
            f"a trajectory must have one {found[0].kind!r} record: got {len(found)} (trajectory "
            f"{found[0].trajectory_id!r}); two processes wrote the log"
        )
    return found[0] if found else None


def _sampled(turns: Sequence[TurnRecorded], abandoned: frozenset[int]) -> tuple[SampledTurn, ...]:
    """Make every prompt whole again and check it against the hash taken when it was sent to the engine."""
    held: dict[int, tuple[int, ...]] = {}
    sampled: list[SampledTurn] = []
    for turn in turns:
        if turn.index in held:
            raise AlignmentError(
                f"a turn must be recorded once: got it twice ({_at(turn)}); two processes wrote the log"
            )
        if turn.parent is not None and turn.parent not in held:
            raise AlignmentError(
                f"a turn must extend an earlier one: got parent {turn.parent}, expected one of {sorted(held)} "
                f"({_at(turn)}); the log has lost a record"
            )
        before = () if turn.parent is None else held[turn.parent]
        prompt = before + turn.new_prompt_token_ids
        actual = hash_ids(prompt)
        if actual != turn.prefix_hash:
            raise AlignmentError(
                f"recovered prompt ids must be those the reply was sampled under: got hash {actual}, expected "
                f"{turn.prefix_hash} ({_at(turn)}); the log was changed"
            )
        held[turn.index] = prompt + turn.sampled_token_ids
        sampled.append(
            SampledTurn(
                index=turn.index,
                parent=turn.parent,
                kind=turn.turn_kind,
                cause=turn.cause,
                prompt_token_ids=prompt,
                sampled_token_ids=turn.sampled_token_ids,
                logprobs=turn.logprobs,
                policy_versions=turn.policy_versions,
                temperature=turn.temperature,
                top_p=turn.top_p,
                kept_logmass=turn.kept_logmass,
                prefix_hash=turn.prefix_hash,
                abandoned=turn.index in abandoned,
            )
        )
    return tuple(sampled)


def _responses(turns: Sequence[TurnRecorded]) -> Mapping[int, tuple[Message, ...]]:
    """Return what followed each reply: what the first call brought along that went on from it.

    A call that starts a row anew sends the whole conversation; what follows the last reply in there follows the
    latest turn that said the same.
    """
    following: dict[int, tuple[Message, ...]] = {}
    for position, turn in enumerate(turns):
        if turn.parent is not None:
            following.setdefault(turn.parent, turn.new_messages)
            continue
        last = next((i for i in range(len(turn.new_messages) - 1, -1, -1) if _is_reply(turn.new_messages[i])), None)
        if last is not None:
            said = _said(turn.new_messages[last])
            earlier = next((other for other in reversed(turns[:position]) if _said(other.reply) == said), None)
            if earlier is not None:
                following.setdefault(earlier.index, turn.new_messages[last + 1 :])
    return following


def _is_reply(message: Message) -> bool:
    return message.role == "assistant"


def _said(message: Message) -> tuple[str, tuple[str, ...]]:
    """Return what a client keeps of a reply when it sends it back: call ids, spacing and reasoning may change."""
    return message.content.strip(), tuple(call.name for call in message.tool_calls)


def _turn(recorded: TurnRecorded, sampled: SampledTurn, responses: tuple[Message, ...]) -> Turn:
    num_sampled = len(sampled.sampled_token_ids)
    return Turn(
        reply=recorded.reply,
        responses=responses,
        finish_reason=recorded.finish_reason,
        num_prompt_tokens=len(sampled.prompt_token_ids),
        num_sampled_tokens=num_sampled,
        mean_logprob=sum(sampled.logprobs) / max(1, num_sampled),
        policy_version=sampled.policy_versions[-1] if num_sampled else 0,
        latency_ms=recorded.latency_ms,
    )


def _at(turn: TurnRecorded) -> str:
    return f"trajectory {turn.trajectory_id!r}, turn {turn.index}"
