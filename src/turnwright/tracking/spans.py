"""An episode as spans: one `trajectory`, a `turn-N` per model call, and in it one span per tool call.

Plain records without a tracing library. An episode knows durations but no clock times, so spans are laid end to end
and the last one ends when the episode did.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal

from turnwright.core.episode import Episode, Turn
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Failed
from turnwright.rundir.layout import step_name

Kind = Literal["AGENT", "CHAT_MODEL", "TOOL"]
Folder = Literal["trajectories", "validation"]
"""Where the run directory keeps what a span shows: a trained attempt, or a validation episode."""

_NANOSECONDS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """One span. Times are nanoseconds since the epoch."""

    name: str
    kind: Kind
    parent: int | None
    """Position of the parent among the episode's spans; None for the first."""
    start_ns: int
    end_ns: int
    inputs: Any
    """Plain JSON."""
    outputs: Any
    """Plain JSON."""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""
    """What went wrong; empty when nothing did."""


def row_id(episode: Episode, *, folder: Folder, step: int) -> str:
    """Return the name of an attempt in the run directory: ``trajectories/step_000012/order-4#2``.

    With ``/3`` behind it, it is the row of that file with ``index`` 3: the model call that was trained.
    """
    return f"{folder}/{step_name(step)}/{episode.key}"


def episode_spans(episode: Episode, *, folder: Folder, step: int, ended: float) -> tuple[SpanRecord, ...]:
    """Return the spans of one episode, the root first.

    Args:
        episode: ended, with its outcome.
        folder: where the run directory keeps it.
        step: step it was sampled for.
        ended: seconds since the epoch.
    """
    row = row_id(episode, folder=folder, step=step)
    durations = [_duration_ns(turn) for turn in episode.turns]
    end_ns = int(ended * 1_000_000_000)
    start_ns = end_ns - sum(durations)
    spans = [_root(episode, row, step=step, start_ns=start_ns, end_ns=end_ns)]
    heard = episode.opening
    # Rows of a file are model calls; those for notes are no turns.
    calls = (call for call in count() if call not in episode.notes_calls)
    for index, (turn, duration, call) in enumerate(zip(episode.turns, durations, calls, strict=False)):
        spans.append(
            SpanRecord(
                name=f"turn-{index}",
                kind="CHAT_MODEL",
                parent=0,
                start_ns=start_ns,
                end_ns=start_ns + duration,
                inputs={"messages": [message_record(message) for message in heard]},
                outputs=message_record(turn.reply),
                attributes={
                    "row": f"{row}/{call}",
                    "finish_reason": turn.finish_reason,
                    "prompt_tokens": turn.num_prompt_tokens,
                    "sampled_tokens": turn.num_sampled_tokens,
                    "mean_logprob": turn.mean_logprob,
                    "policy_version": turn.policy_version,
                    "latency_ms": turn.latency_ms,
                    **({"context": str(turn.context)} if turn.context is not None else {}),
                },
            )
        )
        spans.extend(_tool_spans(turn, row=f"{row}/{call}", parent=len(spans) - 1, turn_start_ns=start_ns))
        start_ns += duration
        heard = turn.responses
    return tuple(spans)


def message_record(message: Message) -> dict[str, Any]:
    """Return a message in the OpenAI chat spelling."""
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        record["reasoning_content"] = message.reasoning
    if message.tool_calls:
        record["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        record["tool_call_id"] = message.tool_call_id
    return record


def _root(episode: Episode, row: str, *, step: int, start_ns: int, end_ns: int) -> SpanRecord:
    outcome = episode.outcome
    attributes: dict[str, Any] = {
        "row": row,
        "step": step,
        "task": episode.key.task_id,
        "attempt": episode.key.attempt,
        "outcome": outcome.kind,
        "policy_versions": sorted({turn.policy_version for turn in episode.turns}),
    }
    if episode.task.domain is not None:
        attributes["domain"] = episode.task.domain
    failure = ""
    if isinstance(outcome, Failed):
        failure = f"{outcome.cause}: {outcome.detail}".removesuffix(": ")
        attributes["cause"] = outcome.cause
    else:
        attributes["reward"] = outcome.value
        attributes |= {f"reward/{name}": value for name, value in outcome.components.items()}
        if outcome.kind == "truncated":
            attributes["cause"] = outcome.cause
    if episode.score is not None:
        attributes["score"] = episode.score.success
    return SpanRecord(
        name="trajectory",
        kind="AGENT",
        parent=None,
        start_ns=start_ns,
        end_ns=end_ns,
        inputs={"prompt": episode.task.prompt},
        outputs={"answer": episode.answer},
        attributes=attributes,
        error=failure,
    )


def _tool_spans(turn: Turn, *, row: str, parent: int, turn_start_ns: int) -> list[SpanRecord]:
    """Return one span per call; outcomes are in the order of the calls, results are found by the call's id."""
    results = {message.tool_call_id: message.content for message in turn.responses if message.role == "tool"}
    spans: list[SpanRecord] = []
    start_ns = turn_start_ns + _ns(turn.latency_ms)
    for call, outcome in zip(turn.reply.tool_calls, turn.tools, strict=False):
        result = results.get(call.id, "")
        span = SpanRecord(
            name=outcome.name or call.name or "unreadable call",
            kind="TOOL",
            parent=parent,
            start_ns=start_ns,
            end_ns=start_ns + _ns(outcome.latency_ms),
            inputs=_arguments(call),
            outputs=result,
            attributes={"row": row, "call_id": call.id, "malformed": outcome.malformed},
        )
        spans.append(replace(span, error=result or "the tool failed") if outcome.error or outcome.malformed else span)
        start_ns = span.end_ns
    return spans


def _arguments(call: ToolCall) -> Any:
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments


def _duration_ns(turn: Turn) -> int:
    return _ns(turn.latency_ms) + sum(_ns(tool.latency_ms) for tool in turn.tools)


def _ns(milliseconds: float) -> int:
    return round(milliseconds * _NANOSECONDS_PER_MS)
