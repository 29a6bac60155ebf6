"""How an agent treats its policy beyond the contract: tools, history, patience, fields. Pure rules over one rollout."""

from collections import Counter
from collections.abc import Callable, Iterator

from turnwright.core.finding import Finding
from turnwright.core.outcome import Failed
from turnwright.launch.probe_codes import found
from turnwright.launch.probe_report import ProbedRollout, ToolUse, last_line, shortened

SLOW_SECONDS = 5.0
"""From asking the agent to its first model call."""
SHORT_TIMEOUT_SECONDS = 60.0


def _tools(rollout: ProbedRollout) -> Iterator[Finding]:
    """An unanswered call loses the rollout, unless it ended it on purpose and with a reward."""
    is_lost = isinstance(rollout.outcome, Failed)
    for use in rollout.tool_uses:
        if use.answered:
            continue
        code = "tools.malformed" if use.malformed else "tools.ignored" if use.known else "tools.unknown"
        evidence = f"after the policy {_what(use)} (turn {use.turn}) {_what_then(rollout, use)}"
        yield found(code, rollout.where, evidence, severity="warning" if use.last and not is_lost else None)


def _what(use: ToolUse) -> str:
    if use.malformed:
        return f"wrote a malformed tool call, {shortened(use.call.arguments)!r},"
    return f"called {'' if use.known else 'the unknown tool '}{use.call.name}({shortened(use.call.arguments)})"


def _what_then(rollout: ProbedRollout, use: ToolUse) -> str:
    if not use.last:
        return "the agent went on without a result for it"
    outcome = rollout.outcome
    if isinstance(outcome, Failed):
        return f"the agent broke off: {outcome.cause}: {last_line(outcome.detail)}"
    return "the agent ended the rollout"


def _offer(rollout: ProbedRollout) -> Iterator[Finding]:
    calls = rollout.model_calls
    if calls and not any(call.tools for call in calls):
        yield found("sample.no_tools", rollout.where, f"none of the {len(calls)} model calls offered a tool")


def _history(rollout: ProbedRollout) -> Iterator[Finding]:
    turns = rollout.trajectory.turns
    for cause in dict.fromkeys(turn.cause for turn in turns if turn.kind == "fork"):
        forks = [turn.index for turn in turns if turn.cause == cause]
        evidence = (
            f"{len(forks)} of {len(turns)} model calls ({_listed(forks)}) do not go on from an earlier reply: each "
            "costs a training row of its own, whose prompt is computed anew"
        )
        yield found(f"history.{cause}", rollout.where, evidence)


def _patience(rollout: ProbedRollout) -> Iterator[Finding]:
    if rollout.num_retries:
        yield found("sample.retried", rollout.where, f"the client repeated {rollout.num_retries} model calls")
    waits = [call.client_timeout for call in rollout.model_calls if call.client_timeout is not None]
    if waits and min(waits) < SHORT_TIMEOUT_SECONDS:
        yield found("sample.short_timeout", rollout.where, f"the client waits {min(waits):g} s for a reply")
    lost = [turn.index for turn in rollout.trajectory.turns if turn.abandoned]
    if lost:
        evidence = f"the agent did not take {len(lost)} replies to their end ({_listed(lost)}): they are not trained"
        yield found("reply.abandoned", rollout.where, evidence)


def _slowness(rollout: ProbedRollout) -> Iterator[Finding]:
    first = min((call.began for call in rollout.calls if call.kind == "sample"), default=rollout.began)
    if first - rollout.began > SLOW_SECONDS:
        evidence = f"the first model call came {first - rollout.began:.1f} s after the agent was asked"
        yield found("agent.slow_start", rollout.where, evidence)


def _fields(rollout: ProbedRollout) -> Iterator[Finding]:
    if rollout.ignored:
        named = ", ".join(f"{name} ({count} times)" for name, count in sorted(rollout.ignored.items()))
        yield found("fields.ignored", rollout.where, f"fields of requests that have no effect: {named}")
    cut = [index for index, turn in rollout.turns.items() if turn.finish_reason == "length"]
    if cut:
        evidence = f"replies were cut at the most tokens that their requests allowed ({_listed(cut)})"
        yield found("reply.cut", rollout.where, evidence)


def _credentials(rollout: ProbedRollout) -> Iterator[Finding]:
    unbound = Counter(call.credential for call in rollout.calls if call.credential in ("aws", "unscoped"))
    for kind, count in unbound.items():
        evidence = f"{count} requests came with a credential that is bound to no trajectory ({kind})"
        yield found("identity.unbound", rollout.where, evidence)


def _listed(turns: list[int]) -> str:
    return f"turn {', '.join(map(str, turns))}"


HABITS: tuple[Callable[[ProbedRollout], Iterator[Finding]], ...] = (
    _tools,
    _offer,
    _history,
    _patience,
    _slowness,
    _fields,
    _credentials,
)
"""Rules over one rollout."""
