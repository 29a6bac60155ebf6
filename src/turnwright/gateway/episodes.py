"""Episodes: the recorded turns of a trajectory as the attempt that graders, reports and traces read."""

from collections.abc import Collection, Mapping, Sequence

from turnwright.core.episode import Episode, EpisodeKey, Turn, written_calls
from turnwright.core.message import Message
from turnwright.core.outcome import Outcome
from turnwright.core.task import Task
from turnwright.gateway.held import Held


def build_episode(
    key: EpisodeKey, task: Task, turns: Sequence[Held], abandoned: Collection[int], outcome: Outcome
) -> Episode:
    """Return an attempt in messages.

    Its turns are those whose reply reached the agent, in order of their numbers: one reward per turn goes by them.

    Args:
        key: Names the attempt.
        task: What was to be done.
        turns: All recorded turns.
        abandoned: Numbers of those whose reply never reached the agent.
        outcome: How it ended.
    """
    responses = _responses(turns)
    kept = [turn for turn in turns if turn.index not in abandoned]
    return Episode(
        key=key,
        task=task,
        opening=kept[0].messages[:-1] if kept else (),
        tools=kept[0].tools if kept else (),
        turns=tuple(_turn(turn, responses.get(turn.index, ())) for turn in kept),
        outcome=outcome,
    )


def _responses(turns: Sequence[Held]) -> Mapping[int, tuple[Message, ...]]:
    """Return what followed each reply: what the first call brought along that answered it."""
    following: dict[int, tuple[Message, ...]] = {}
    for turn in turns:
        if turn.parent is not None:
            following.setdefault(turn.parent.index, turn.new_messages)
        elif turn.follows is not None:
            following.setdefault(turn.follows.index, _after_last_reply(turn.messages[:-1]))
    return following


def _after_last_reply(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1)
    return messages[last + 1 :]


def _turn(turn: Held, responses: tuple[Message, ...]) -> Turn:
    num_sampled = len(turn.sampled_ids)
    return Turn(
        reply=turn.reply,
        responses=responses,
        finish_reason=turn.finish_reason,
        tools=written_calls(turn.reply, turn.tools),
        num_prompt_tokens=turn.num_prompt_tokens,
        num_sampled_tokens=num_sampled,
        mean_logprob=sum(turn.logprobs) / max(1, num_sampled),
        policy_version=turn.policy_versions[-1] if num_sampled else 0,
        latency_ms=turn.latency_ms,
    )
