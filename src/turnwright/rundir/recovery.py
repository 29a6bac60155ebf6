"""Recovery: the records of one trajectory in, the attempt as the run counts it out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from turnwright.core.episode import Episode, Turn, written_calls
from turnwright.core.errors import AlignmentError
from turnwright.core.group import Attempt
from turnwright.core.message import Message, ToolSpec
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
            num_turns=sum(not turn.abandoned for turn in self.trajectory.turns),
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
        """Return the attempt; None while it has no outcome.

        Its episode has the turns whose reply reached the agent, its trajectory has all.
        """
        outcome = self.outcome
        if outcome is None:
            return None
        turns = {turn.index: turn for turn in self.turns}
        kept = [turn for turn in self.trajectory.turns if not turn.abandoned]
        first = turns[kept[0].index] if kept else None
        responses = _responses(self.turns)
        episode = Episode(
            key=self.opened.key,
            task=self.opened.task,
            opening=_conversation(first, turns) if first else (),
            tools=_tools(first, turns) if first else (),
            turns=tuple(
                _turn(turns[turn.index], turn, responses.get(turn.index, ()), _tools(turns[turn.index], turns))
                for turn in kept
            ),
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


def _conversation(turn: TurnRecorded, turns: Mapping[int, TurnRecorded]) -> tuple[Message, ...]:
    """Return all messages of a turn's request."""
    messages = turn.new_messages
    while turn.parent is not None:
        turn = turns[turn.parent]
        messages = (*turn.new_messages, turn.reply, *messages)
    return messages


def _tools(turn: TurnRecorded, turns: Mapping[int, TurnRecorded]) -> tuple[ToolSpec, ...]:
    while turn.tools is None and turn.parent is not None:
        turn = turns[turn.parent]
    return turn.tools or ()


def _responses(turns: Sequence[TurnRecorded]) -> Mapping[int, tuple[Message, ...]]:
    """Return what followed each reply: what the first call brought along that answered it."""
    following: dict[int, tuple[Message, ...]] = {}
    for turn in turns:
        if turn.parent is not None:
            following.setdefault(turn.parent, turn.new_messages)
        elif turn.follows is not None:
            following.setdefault(turn.follows, _after_last_reply(turn.new_messages))
    return following


def _after_last_reply(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1)
    return messages[last + 1 :]


def _turn(
    recorded: TurnRecorded, sampled: SampledTurn, responses: tuple[Message, ...], tools: tuple[ToolSpec, ...]
) -> Turn:
    num_sampled = len(sampled.sampled_token_ids)
    return Turn(
        reply=recorded.reply,
        responses=responses,
        finish_reason=recorded.finish_reason,
        tools=written_calls(recorded.reply, tools),
        num_prompt_tokens=len(sampled.prompt_token_ids),
        num_sampled_tokens=num_sampled,
        mean_logprob=sum(sampled.logprobs) / max(1, num_sampled),
        policy_version=sampled.policy_versions[-1] if num_sampled else 0,
        latency_ms=recorded.latency_ms,
    )


def _at(turn: TurnRecorded) -> str:
    return f"trajectory {turn.trajectory_id!r}, turn {turn.index}"
