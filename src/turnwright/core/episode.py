"""Episode: one attempt at a task, in messages, made of turns."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from turnwright.core.message import Message, ToolSpec
from turnwright.core.outcome import Failed, Outcome
from turnwright.core.score import Score
from turnwright.core.task import Task

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeKey:
    """Names one attempt for the whole run: seeds, order of deterministic rounds, file records."""

    task_id: str
    attempt: int

    def __str__(self) -> str:
        """Return ``task#attempt``, as error messages and files spell it."""
        return f"{self.task_id}#{self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """What happened to one tool call of a turn."""

    name: str
    error: bool = False
    """The tool answered with an error (its own, unknown name, or bad arguments)."""
    malformed: bool = False
    """The call could not be run as written: not JSON, unknown tool, or arguments off the schema."""
    latency_ms: float = 0.0


def written_calls(reply: Message, tools: Sequence[ToolSpec]) -> tuple[ToolOutcome, ...]:
    """Return what a reply's calls show by themselves, where a program of its own runs them and we do not see how.

    A call is malformed that has no name, names no tool on offer, or has arguments that are no JSON object.
    """
    names = {tool.name for tool in tools}
    return tuple(
        ToolOutcome(name=call.name, malformed=call.name not in names or not _is_object(call.arguments))
        for call in reply.tool_calls
    )


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextChange:
    """What the built-in agent's context policy did after a turn, before the policy was asked again.

    Example: two of the oldest results gave way to a line each: ``ContextChange(dropped_results=2, removed_tokens=410)``
    """

    full_results: tuple[Message, ...] = ()
    """Tool results of the turn that were cut, as the tools gave them."""
    dropped_results: int = 0
    """Earlier tool results in whose place a line stands."""
    notes: Message | None = None
    """The policy's reply when it was asked for notes: a model call of the trajectory, but no turn of the episode."""
    notes_taken: bool = False
    """The notes stand in place of the older turns; a reply with calls, or without text, is no notes."""
    removed_tokens: int = 0
    """Tokens by which the next prompt is shorter for it."""

    def __str__(self) -> str:
        """Return what was done in words; empty when that is nothing."""
        counts = ((len(self.full_results), "cut"), (self.dropped_results, "dropped"))
        done = [f"{number} {'results' if number > 1 else 'result'} {what}" for number, what in counts if number]
        if self.notes is not None:
            done.append("notes in place of older turns" if self.notes_taken else "asked for notes and got none")
        return ", ".join(done) + (f" (-{self.removed_tokens} tokens)" if self.removed_tokens else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One model call and what follows it."""

    reply: Message
    responses: tuple[Message, ...] = ()
    """Tool results as the policy saw them, or what the world said to a reply without calls."""
    finish_reason: FinishReason = "stop"
    tools: tuple[ToolOutcome, ...] = ()
    num_prompt_tokens: int = 0
    num_sampled_tokens: int = 0
    mean_logprob: float = 0.0
    """Mean log-probability of the sampled tokens, in nats."""
    policy_version: int = 0
    """Version that sampled the last token."""
    latency_ms: float = 0.0
    context: ContextChange | None = None
    """What shortened the conversation after this turn; None where the agent has no context policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One attempt at a task.

    Example: an agent that looks an order up and answers has two turns::

        Episode(key=EpisodeKey(task_id="t1", attempt=0), task=..., opening=(system, user), turns=(
            Turn(reply=<calls get_order>, responses=(<tool result>,)),
            Turn(reply=<answers>),
        ), outcome=Rewarded(value=1.0))
    """

    key: EpisodeKey
    task: Task
    opening: tuple[Message, ...]
    """The messages before the first turn."""
    tools: tuple[ToolSpec, ...] = ()
    turns: tuple[Turn, ...] = ()
    outcome: Outcome = field(default_factory=lambda: Failed(cause="unfinished"))
    score: Score | None = None
    """Set by a scorer, never by the environment."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message in order."""
        conversation = list(self.opening)
        for turn in self.turns:
            conversation.append(turn.reply)
            conversation.extend(turn.responses)
        return tuple(conversation)

    @property
    def answer(self) -> str:
        """Text of the last reply; empty when there is no turn."""
        return self.turns[-1].reply.content if self.turns else ""

    @property
    def notes_calls(self) -> frozenset[int]:
        """Positions, among the attempt's model calls, of those that asked for notes; the others are the turns'."""
        positions: set[int] = set()
        for number, turn in enumerate(self.turns, start=1):
            if turn.context is not None and turn.context.notes is not None:
                positions.add(number + len(positions))
        return frozenset(positions)
