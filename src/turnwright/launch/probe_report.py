"""ProbeReport: what a probe saw of an agent, in the shape that ``turnwright probe --json`` prints.

ProbedRollout (all that the gateway knows of one rollout) --transcript--> RolloutTranscript (plain English)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from turnwright.core.episode import Episode, Turn
from turnwright.core.finding import Finding
from turnwright.core.message import ToolCall
from turnwright.core.outcome import Failed, Outcome
from turnwright.core.trajectory import Trajectory
from turnwright.launch.probe_calls import SeenCall

_LONGEST = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool call that the policy made, and what became of it."""

    turn: int
    call: ToolCall
    known: bool
    """The request that it answers offered a tool of this name."""
    answered: bool
    """A result came back for it; for a call that cannot be run, anything that was said about it."""
    last: bool
    """No model call followed."""

    @property
    def malformed(self) -> bool:
        """It cannot be read as a call."""
        return not self.call.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedRollout:
    """One rollout, as the gateway saw it."""

    number: int
    """From 1."""
    trajectory_id: str
    began: float
    """When the agent was asked, in seconds since the probe began."""
    calls: tuple[SeenCall, ...]
    """Requests that were taken for this rollout, in order."""
    episode: Episode
    trajectory: Trajectory
    ignored: Mapping[str, int]
    """How often each field without effect was sent."""
    num_retries: int
    """Repetitions of calls that the client made."""
    heard_of: frozenset[int] = frozenset()
    """Other rollouts whose replies occur in this one's prompts."""

    @property
    def where(self) -> str:
        """Its name in findings."""
        return f"rollout {self.number}"

    @property
    def outcome(self) -> Outcome:
        """How it would have counted in training."""
        return self.episode.outcome

    @property
    def model_calls(self) -> tuple[SeenCall, ...]:
        """Model calls that were carried out."""
        return tuple(call for call in self.calls if call.kind == "sample" and call.accepted)

    @property
    def turns(self) -> Mapping[int, Turn]:
        """What was said, by number of the model call; replies that reached nobody are left out."""
        delivered = [turn.index for turn in self.trajectory.turns if not turn.abandoned]
        return dict(zip(delivered, self.episode.turns, strict=True))

    @property
    def tool_uses(self) -> tuple[ToolUse, ...]:
        """Calls of tools, in order."""
        return tuple(_tool_uses(self))

    def failed_as(self, *causes: str) -> bool:
        """Tell whether it failed by one of these causes."""
        return isinstance(self.outcome, Failed) and self.outcome.cause in causes

    def made(self, kind: str, *, accepted: bool) -> tuple[SeenCall, ...]:
        """Return the requests of a kind that were carried out, or those that were not."""
        return tuple(call for call in self.calls if call.kind == kind and call.accepted is accepted)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutTranscript:
    """What an agent did in one rollout."""

    number: int
    summary: str
    lines: tuple[str, ...]
    """One per request, in order."""
    num_model_calls: int
    num_streamed: int
    """Model calls whose reply was streamed."""
    tools: tuple[str, ...]
    """Names of the tools that were offered."""
    num_tool_calls: int
    """Tool calls that the scripted policy made."""
    num_tool_results: int
    """Those of them that were answered."""
    num_sampled_tokens: int
    ignored_fields: Mapping[str, int]
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """Result of a probe; ``passed`` when no finding is an error."""

    agent: str
    passed: bool
    findings: tuple[Finding, ...]
    rollouts: tuple[RolloutTranscript, ...]
    """The first one was alone, the others ran side by side."""
    unattributed: tuple[str, ...]
    """Requests that named no rollout of the probe."""

    def to_json(self) -> str:
        """Return the report as one indented JSON object."""
        return REPORT_ADAPTER.dump_json(self, indent=2).decode() + "\n"


REPORT_ADAPTER = TypeAdapter(ProbeReport)


def transcript(rollout: ProbedRollout) -> RolloutTranscript:
    """Tell what an agent did in a rollout."""
    calls, uses = rollout.model_calls, rollout.tool_uses
    return RolloutTranscript(
        number=rollout.number,
        summary=_summary(rollout),
        lines=tuple(_line(call, rollout) for call in rollout.calls),
        num_model_calls=len(calls),
        num_streamed=sum(call.streamed for call in calls),
        tools=tuple(dict.fromkeys(name for call in calls for name in call.tools)),
        num_tool_calls=len(uses),
        num_tool_results=sum(use.answered for use in uses),
        num_sampled_tokens=rollout.trajectory.num_sampled_tokens,
        ignored_fields=dict(rollout.ignored),
        outcome=rollout.outcome,
    )


def describe_call(call: SeenCall) -> str:
    """Tell what a request was and how it was answered, without what the policy said."""
    traits = [call.dialect, "streamed" if call.streamed else "", "a retry" if call.is_retry else ""]
    identity = ", ".join(call.named) or "nothing"
    traits.append(f"rollout named by {identity}" if call.credential != "none" else f"no valid key, named by {identity}")
    if call.credential in ("aws", "unscoped"):
        traits.append(f"{call.credential} credential")
    answer = f"{call.status}" if not call.refusal else f"{call.status} {call.refusal}"
    return f"{call.began:6.2f} s  {call.spelled} ({'; '.join(filter(None, traits))}) -> {answer}"


def outcome_words(outcome: Outcome) -> str:
    """Return an outcome as one would say it.

    >>> outcome_words(Failed(cause="no_reward", detail="sealed, but no reward"))
    'failed (no_reward): sealed, but no reward'
    """
    if isinstance(outcome, Failed):
        return (
            f"failed ({outcome.cause}): {last_line(outcome.detail)}" if outcome.detail else f"failed ({outcome.cause})"
        )
    return f"{outcome.kind} {outcome.value:g}"


def shortened(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def last_line(text: str) -> str:
    """Return the last line of a text: of a traceback, what was raised."""
    return text.strip().rpartition("\n")[2]


def _tool_uses(rollout: ProbedRollout) -> Iterator[ToolUse]:
    offered = {call.turn: call.tools for call in rollout.model_calls}
    turns = rollout.turns
    for index, turn in turns.items():
        num_results = sum(message.role == "tool" for message in turn.responses)
        for position, call in enumerate(turn.reply.tool_calls):
            known = call.name in offered.get(index, ())
            yield ToolUse(
                turn=index,
                call=call,
                known=known,
                answered=position < num_results or (not known and bool(turn.responses)),
                last=index == max(turns),
            )


def _summary(rollout: ProbedRollout) -> str:
    calls, uses = rollout.model_calls, rollout.tool_uses
    dialects = ", ".join(dict.fromkeys(call.dialect for call in calls))
    parts = [
        f"{len(calls)} model calls"
        + (f" ({dialects}; {sum(call.streamed for call in calls)} streamed)" if calls else "")
    ]
    if uses:
        parts.append(f"{len(uses)} tool calls by the policy, {sum(use.answered for use in uses)} answered")
    parts.append(outcome_words(rollout.outcome))
    return "; ".join(parts)


def _line(call: SeenCall, rollout: ProbedRollout) -> str:
    line = describe_call(call)
    if call.kind != "sample" or not call.accepted or call.turn is None:
        return line
    line += f": {call.num_messages} messages, tools: {', '.join(call.tools) or 'none'}"
    turn = rollout.turns.get(call.turn)
    return f"{line}; the reply reached nobody" if turn is None else f"{line}; the policy {_said(turn)}; {_then(turn)}"


def _said(turn: Turn) -> str:
    calls = [
        f"called {call.name}({call.arguments})" if call.name else f"wrote a malformed call {call.arguments}"
        for call in turn.reply.tool_calls
    ]
    return shortened(" and ".join(calls) or f"answered {turn.reply.content!r}")


def _then(turn: Turn) -> str:
    if not turn.responses:
        return "nothing came back"
    return "back came " + " and ".join(f"{message.role}: {shortened(message.content)!r}" for message in turn.responses)
