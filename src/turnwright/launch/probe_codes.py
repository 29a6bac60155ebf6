"""Every finding that a probe can make: how bad it is, and what to change. The rules give the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass

from turnwright.core.finding import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What stays the same each time something is found."""

    severity: Severity
    """error = rollouts are lost; warning = they cost more or teach less; info = to know."""
    cure: str


def _error(cure: str) -> Code:
    return Code(severity="error", cure=cure)


def _warning(cure: str) -> Code:
    return Code(severity="warning", cure=cure)


def _info(cure: str) -> Code:
    return Code(severity="info", cure=cure)


_FEED_BACK = (
    "answer such a call with a tool message that says what is wrong with it, and ask the policy again: it learns from "
    "its mistakes only when it meets them, and a crash loses the whole attempt"
)
_MEND = "mend what the evidence names; an attempt that ends like this is made again and never trained"
_SOONER = "report before the time is over, or raise it: --timeout here, rollout.rollout_timeout in a run"

CODES: Mapping[str, Code] = {
    "agent.unreachable": _error(
        "start the agent, and check that host, port and path of its URL can be reached from this machine"
    ),
    "agent.no_health": _error(
        "answer GET /health, or GET /ping, beside the rollout's path with status 200: a run asks it before it starts"
    ),
    "agent.failed": _error(_MEND),
    "agent.skipped": _error("give --prompt a task that the agent attempts; a skipped rollout is never trained"),
    "agent.never_ends": _warning(
        "end the rollout when the policy answers without calling a tool; if the agent waits for certain words, give "
        "them as scripted replies (--replies)"
    ),
    "agent.slow_start": _info(
        "prepare what rollouts share when the agent starts and not in each rollout, whose time runs meanwhile"
    ),
    "rollout.failed": _error(_MEND),
    "rollouts.mixed": _error(
        "make client, headers and message list anew for each rollout, from that rollout's own request: nothing of it "
        "in globals, in the environment or in a model object that rollouts share (AWS's wrap_model changes the one it "
        "is given); hand context variables on to threads (turnwright.client.RolloutExecutor)"
    ),
    "identity.refused": _error(
        "send the rollout request's own metadata.api_key (Authorization: Bearer, or x-api-key) with every call; an "
        "agent that signs with AWS credentials needs the keys that `turnwright gateway --aws-env` prints, or, on one "
        "machine, gateway.accept_unscoped_tokens = true (here: --set gateway.accept_unscoped_tokens=true)"
    ),
    "identity.missing": _error(
        "name the rollout in every call: by the header X-Amzn-SageMaker-Trajectory-Id, by the base URL "
        "{endpoint}/t/{trajectory_id}, or by using its metadata.api_key"
    ),
    "identity.unknown": _error(
        "use the trajectory_id of the rollout request's metadata as it came; keep none of an earlier one"
    ),
    "identity.unbound": _info(
        "use metadata.api_key of the rollout request: with it no rollout can touch another one's record"
    ),
    "path.unknown": _error(
        "base URL of OpenAI clients: metadata.endpoint + '/v1'; of Anthropic clients: metadata.endpoint alone; reports "
        "go to metadata.endpoint + '/complete-rollout' and '/update-reward'"
    ),
    "sample.none": _error(
        "have the agent ask its model at metadata.endpoint of the rollout request (OpenAI: + '/v1') with "
        "metadata.api_key, and not at its usual provider"
    ),
    "sample.refused": _error("mend what the refusal names"),
    "sample.too_long": _warning(
        "shorten the prompt or the tools' results; the probe's tokenizer makes more tokens of a text than that of a "
        "large model"
    ),
    "sample.throttled": _warning(
        "make fewer calls at once, or raise gateway.max_concurrent_calls and gateway.calls_per_second"
    ),
    "sample.retried": _warning(
        "raise the client's timeout to minutes: a repetition is joined to its call and trains nothing twice, but a "
        "client that gives up loses the attempt"
    ),
    "sample.short_timeout": _warning(
        "raise it to minutes: a long reply takes its time, and while weights are exchanged all replies wait"
    ),
    "sample.no_tools": _info(
        "if the agent has tools, send their schemas in 'tools' of each request; tools described in the prompt alone "
        "are text, and their calls are not checked"
    ),
    "fields.refused": _error("change the request: leave the field out, or give it the value that is expected"),
    "fields.ignored": _info("leave them out, or know that the policy does not see them"),
    "reply.abandoned": _warning("read every reply, and every stream, to its end; raise the client's timeout"),
    "reply.cut": _info("ask for at least as many tokens as inferenceParams.maxTokens of the rollout request says"),
    "tools.ignored": _error(
        "run the tool and send its result back in a message of role 'tool' (Anthropic: a tool_result block) before the "
        "next call; if this tool ends a rollout by design, probe another one with --replies"
    ),
    "tools.malformed": _error(_FEED_BACK),
    "tools.unknown": _error(_FEED_BACK),
    "history.thinking_dropped": _warning(
        "send assistant messages back with their reasoning (reasoning_content, or the thinking block); with a policy "
        "that does not think there is nothing to change"
    ),
    "history.history_edited": _warning(
        "send earlier messages back as they came: nothing trimmed, reformatted or dated"
    ),
    "history.template_rewrites_history": _warning("choose a policy whose template keeps earlier replies as they were"),
    "history.tools_changed": _warning("offer the same tools, in the same words and order, in every call of a rollout"),
    "history.compaction": _info("if summaries are meant, nothing needs to change"),
    "history.sub_agent": _info("if a sub-agent is meant, nothing needs to change"),
    "history.branched": _info(
        "if parallel calls are meant, nothing needs to change; otherwise send earlier messages and results back as "
        "they came, once"
    ),
    "seal.calls_after": _warning(
        "make every model call before the completion; one that comes later is refused and trains nothing"
    ),
    "complete.none": _error(
        "POST {metadata.endpoint}/complete-rollout with the TrajectoryId at the end, with Status 'failed' after an "
        "error; turnwright.client.rollout_handler does it, and a function agent does it by returning its reward"
    ),
    "complete.refused": _error("send {'TrajectoryId': ..., 'Status': 'ready' or 'failed'}"),
    "complete.twice": _warning("complete once; a repetition of the same report must carry the same ClientToken"),
    "complete.late": _error(
        "report before the time is over, or raise it: --timeout here, rollout.rollout_timeout in a run"
    ),
    "reward.none": _error(
        "POST {metadata.endpoint}/update-reward with TrajectoryId and Rewards [number], or return the number from a "
        "function agent; an attempt without a reward is made again and never trained"
    ),
    "reward.refused": _error(
        "send {'TrajectoryId': ..., 'Rewards': [...]} with finite numbers of at most 1e6 by magnitude, one for the "
        "rollout or one per model call; complete as 'failed' what cannot be graded"
    ),
    "reward.twice": _warning("reward once; a repetition of the same report must carry the same ClientToken"),
    "reward.late": _error(
        "report before the time is over, or raise it: --timeout here, rollout.rollout_timeout in a run"
    ),
    "reward.early": _info("nothing needs to change: a reward that comes first counts from the completion on"),
    "replies.none": _error("add a row without 'prompt' to the file given as --replies"),
}
"""By name; those of ``history`` are named after the causes of gateway/history.py."""


def found(code: str, where: str, evidence: str, *, severity: Severity | None = None) -> Finding:
    """Return a finding.

    Args:
        code: One of CODES.
        where: The rollout it was seen in.
        evidence: What was seen.
        severity: In place of the code's own.
    """
    known = CODES[code]
    return Finding(code=code, severity=severity or known.severity, where=where, evidence=evidence, cure=known.cure)
