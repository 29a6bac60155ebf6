"""What is wrong with an agent, from the rollouts of a probe: pure rules that give the evidence.

    each rollout --contract, habits (probe_habits.py)--> findings --merged by code--> errors first
    side by side --mixing (probe_mixing.py)-------------^

Here: the contract - be reachable, ask the policy as this rollout, complete, reward.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from turnwright.core.finding import Finding, Severity
from turnwright.core.outcome import Failed
from turnwright.launch.probe_calls import SeenCall
from turnwright.launch.probe_codes import found
from turnwright.launch.probe_habits import HABITS
from turnwright.launch.probe_report import ProbedRollout, last_line

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}
_UNENDED = frozenset({"timeout", "agent_timeout", "no_reward"})
"""Causes of an attempt that lacks a completion, a reward, or both."""
_NAMED_CAUSES = {
    "agent_unreachable": "agent.unreachable",
    "skipped": "agent.skipped",
    "bad_reward": "reward.refused",
    "engine_error": "replies.none",
}
"""Causes that are a finding by themselves."""


def rollout_findings(rollout: ProbedRollout) -> list[Finding]:
    """Return what one rollout shows."""
    findings = [finding for rule in (*CONTRACT, *HABITS) for finding in rule(rollout)]
    outcome = rollout.outcome
    if isinstance(outcome, Failed) and not any(finding.severity == "error" for finding in findings):
        findings.append(found("rollout.failed", rollout.where, f"it failed as {outcome.cause}: {outcome.detail}"))
    return findings


def unattributed_findings(calls: Iterable[SeenCall]) -> list[Finding]:
    """Return what requests show that named no rollout of the probe."""
    return [finding for call in calls for finding in _refused_identity(call, "requests of no rollout", is_known=False)]


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return one finding per code, the worst, with every place that it was seen in; errors first."""
    by_code: dict[str, Finding] = {}
    for finding in findings:
        before = by_code.get(finding.code, finding)
        worst = min(before, finding, key=lambda one: _ORDER[one.severity])
        places = dict.fromkeys([*before.where.split(", "), finding.where])
        by_code[finding.code] = replace(worst, where=", ".join(places))
    return tuple(sorted(by_code.values(), key=lambda finding: _ORDER[finding.severity]))


def _outcome(rollout: ProbedRollout) -> Iterator[Finding]:
    outcome = rollout.outcome
    if not isinstance(outcome, Failed):
        return
    if outcome.cause in _NAMED_CAUSES:
        yield found(_NAMED_CAUSES[outcome.cause], rollout.where, outcome.detail)
    elif outcome.cause == "agent_error" and not any(use.last and not use.answered for use in rollout.tool_uses):
        yield found("agent.failed", rollout.where, outcome.detail)


def _identity(rollout: ProbedRollout) -> Iterator[Finding]:
    for call in rollout.calls:
        yield from _refused_identity(call, rollout.where, is_known=True)


def _refused_identity(call: SeenCall, where: str, *, is_known: bool) -> Iterator[Finding]:
    """Tell what is wrong with the identity or the address of a call, if either is.

    Args:
        call: Any request.
        where: Where it was seen.
        is_known: It names a rollout of the probe.
    """
    match call.status:
        case 403:
            swallowed = (
                "; AWS's rollout decorator logs such an error and swallows it: the agent looks successful, and nothing "
                "is trained"
            )
            yield found("identity.refused", where, call.refused + swallowed)
        case 400 if not call.named:
            yield found("identity.missing", where, call.refused)
        case 404 if call.kind == "unknown":
            yield found("path.unknown", where, call.refused)
        case 404 if not is_known:
            yield found("identity.unknown", where, call.refused)
        case _:
            pass


def _sampling(rollout: ProbedRollout) -> Iterator[Finding]:
    if rollout.model_calls or rollout.failed_as("agent_unreachable", "skipped"):
        return
    yield found("sample.none", rollout.where, "no model call was carried out for it: there is nothing to learn from")


def _refused_calls(rollout: ProbedRollout) -> Iterator[Finding]:
    seals = rollout.made("complete", accepted=True)
    for call in rollout.made("sample", accepted=False):
        if call.reason == "max_turns":
            yield found("agent.never_ends", rollout.where, call.refused)
        elif call.reason == "context_length_exceeded":
            yield found("sample.too_long", rollout.where, call.refused)
        elif call.status in (400, 404, 413):
            yield found("fields.refused", rollout.where, call.refused)
        elif call.status == 409 and seals and call.began > seals[0].began:
            yield found("seal.calls_after", rollout.where, call.refused)
        elif call.status == 429:
            yield found("sample.throttled", rollout.where, call.refused)
        elif call.status == 499:
            yield found("reply.abandoned", rollout.where, f"the agent hung up on {call.spelled} before it was answered")
        elif call.status not in (403, 409):
            yield found("sample.refused", rollout.where, call.refused)


def _missing_reports(rollout: ProbedRollout) -> Iterator[Finding]:
    """A report that was tried and refused is a finding of its own."""
    outcome = rollout.outcome
    if not isinstance(outcome, Failed) or outcome.cause not in _UNENDED:
        return
    tried = {call.kind for call in rollout.calls}
    if "complete" not in tried:
        evidence = f"the agent did not say that its rollout was over: {last_line(outcome.detail)}"
        yield found("complete.none", rollout.where, evidence)
    if "reward" not in tried:
        yield found("reward.none", rollout.where, f"the agent gave no reward: {last_line(outcome.detail)}")


def _refused_reports(rollout: ProbedRollout) -> Iterator[Finding]:
    for call in (*rollout.made("complete", accepted=False), *rollout.made("reward", accepted=False)):
        if call.status == 400:
            yield found(f"{call.kind}.refused", rollout.where, call.refused)
        elif call.status == 409:
            is_second = bool(rollout.made(call.kind, accepted=True))
            yield found(f"{call.kind}.{'twice' if is_second else 'late'}", rollout.where, call.refused)


def _order_of_reports(rollout: ProbedRollout) -> Iterator[Finding]:
    rewards, seals = rollout.made("reward", accepted=True), rollout.made("complete", accepted=True)
    if rewards and seals and rewards[0].began < seals[0].began:
        earlier = seals[0].began - rewards[0].began
        yield found(
            "reward.early", rollout.where, f"{rewards[0].spelled} came {earlier:.2f} s before {seals[0].spelled}"
        )


CONTRACT: tuple[Callable[[ProbedRollout], Iterator[Finding]], ...] = (
    _outcome,
    _identity,
    _sampling,
    _refused_calls,
    _missing_reports,
    _refused_reports,
    _order_of_reports,
)
"""Rules over one rollout."""
