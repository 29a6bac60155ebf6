"""Metrics of a set of attempts: ``rollout/*`` while training, ``val/*`` in validation (CONTRACTS.md section 4)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, pstdev, pvariance

from turnwright.core.group import Attempt, Group
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.rollout.prefill import prefilled

TRUNCATIONS = ("token_cap", "max_turns", "sequence", "time")
PER_DOMAIN = ("rollout/", "val/", "analysis/", "score/")
"""Families of metrics that a mixture has for each domain besides the whole."""


def reward_of(attempt: Attempt) -> float | None:
    """Return an attempt's reward; None for a failed one, which has none."""
    outcome = attempt.episode.outcome
    return None if isinstance(outcome, Failed) else outcome.value


def attempt_metrics(attempts: Sequence[Attempt], prefix: str) -> dict[str, float]:
    """Return reward, turn, token, outcome and tool metrics under ``prefix`` ("rollout" or "val")."""
    survivors = [attempt for attempt in attempts if reward_of(attempt) is not None]
    metrics: dict[str, float] = {}
    rewards = [reward for attempt in survivors if (reward := reward_of(attempt)) is not None]
    metrics |= _spread(rewards, f"{prefix}/reward", ("mean", "std", "min", "max"))
    if rewards:
        metrics[f"{prefix}/reward/zero_frac"] = fmean(reward == 0.0 for reward in rewards)
    turns = [float(len(attempt.episode.turns)) for attempt in survivors]
    metrics |= _spread(turns, f"{prefix}/turns", ("mean", "min", "max"))
    responses = [float(attempt.trajectory.num_sampled_tokens) for attempt in survivors]
    metrics |= {
        f"{prefix}/tokens/response_{leaf.rpartition('/')[2]}": value
        for leaf, value in _spread(responses, "response", ("mean", "std", "min", "max")).items()
    }
    prompts = [
        float(len(attempt.trajectory.turns[0].prompt_token_ids)) for attempt in survivors if attempt.trajectory.turns
    ]
    metrics |= {f"{prefix}/tokens/prompt_mean": fmean(prompts)} if prompts else {}
    logprobs = [value for attempt in survivors for turn in attempt.trajectory.turns for value in turn.logprobs]
    metrics |= _spread(logprobs, f"{prefix}/logprob", ("mean", "min", "max"))
    metrics |= _outcomes(attempts, prefix) | _tools(survivors, prefix) | _components(survivors, prefix)
    return metrics | _context(survivors, prefix)


def group_metrics(groups: Sequence[Group], *, batch_size: int) -> dict[str, float]:
    """Return what the reward says within and between the groups of a training step."""
    rewards = [[r for attempt in group.attempts if (r := reward_of(attempt)) is not None] for group in groups]
    rewards = [values for values in rewards if values]
    if not rewards:
        return {"analysis/batch_completion_ratio": 0.0}
    means = [fmean(values) for values in rewards]
    live = [values for values in rewards if max(values) != min(values)]
    metrics = {
        "analysis/batch_completion_ratio": len(rewards) / batch_size,
        "analysis/reward_variance_across_groups": pvariance(means),
        "analysis/mean_group_reward_spread": fmean(max(values) - min(values) for values in rewards),
    }
    if live:
        metrics["rollout/reward/valid_mean"] = fmean(reward for values in live for reward in values)
    return metrics


def with_domains(
    groups: Sequence[Group], measure: Callable[[Sequence[Group]], Mapping[str, float]]
) -> dict[str, float]:
    """Return what ``measure`` says of groups and, below ``<domain>/``, what it says of each domain's own.

    Example: ``val/reward/mean`` over all tasks, ``returns/val/reward/mean`` over those of the domain "returns".
    Only what describes episodes is told per domain (``PER_DOMAIN``).
    """
    metrics = dict(measure(groups))
    for domain in sorted({group.task.domain for group in groups if group.task.domain is not None}):
        own = measure([group for group in groups if group.task.domain == domain])
        metrics |= {f"{domain}/{name}": value for name, value in own.items() if name.startswith(PER_DOMAIN)}
    return metrics


def _outcomes(attempts: Sequence[Attempt], prefix: str) -> dict[str, float]:
    if not attempts:
        return {}
    outcomes = [attempt.episode.outcome for attempt in attempts]
    share = 1 / len(outcomes)
    failures = Counter(outcome.cause for outcome in outcomes if isinstance(outcome, Failed))
    truncations = Counter(outcome.cause for outcome in outcomes if isinstance(outcome, Truncated))
    rewarded = sum(isinstance(outcome, Rewarded) for outcome in outcomes)
    return {
        f"{prefix}/outcome/rewarded_frac": rewarded * share,
        f"{prefix}/outcome/truncated_frac": sum(truncations.values()) * share,
        f"{prefix}/outcome/failed_frac": sum(failures.values()) * share,
        f"{prefix}/completion_frac": rewarded * share,
        **{f"{prefix}/truncated/{cause}_frac": truncations[cause] * share for cause in TRUNCATIONS},
        **{f"{prefix}/failure/{cause}": float(count) for cause, count in failures.items()},
    }


def _tools(survivors: Sequence[Attempt], prefix: str) -> dict[str, float]:
    calls = [tool for attempt in survivors for turn in attempt.episode.turns for tool in turn.tools]
    if not survivors:
        return {}
    metrics = {f"{prefix}/tools/calls": len(calls) / len(survivors)}
    if calls:
        metrics[f"{prefix}/tools/error_frac"] = fmean(call.error for call in calls)
        metrics[f"{prefix}/tools/malformed_frac"] = fmean(call.malformed for call in calls)
    return metrics


def _components(survivors: Sequence[Attempt], prefix: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for attempt in survivors:
        outcome = attempt.episode.outcome
        components: Mapping[str, float] = {} if isinstance(outcome, Failed) else outcome.components
        for name, value in components.items():
            values.setdefault(name, []).append(value)
    return {f"{prefix}/component/{name}": fmean(found) for name, found in values.items()}


def _context(survivors: Sequence[Attempt], prefix: str) -> dict[str, float]:
    """Return what an agent's context policy did per attempt, and what it cost; nothing where there is none."""
    changes = [turn.context for attempt in survivors for turn in attempt.episode.turns if turn.context is not None]
    if not changes:
        return {}
    refilled = [
        computed for attempt in survivors for turn, computed in prefilled(attempt.trajectory) if turn.cause == "context"
    ]
    sums = {
        "cut_results": sum(len(change.full_results) for change in changes),
        "dropped_results": sum(change.dropped_results for change in changes),
        "summaries": sum(change.notes_taken for change in changes),
        "refused_summaries": sum(change.notes is not None and not change.notes_taken for change in changes),
        "forks": len(refilled),
        "removed_tokens": sum(change.removed_tokens for change in changes),
        "refilled_tokens": sum(refilled),
    }
    return {f"{prefix}/context/{name}": value / len(survivors) for name, value in sums.items()}


def _spread(values: Sequence[float], name: str, leaves: Sequence[str]) -> dict[str, float]:
    if not values:
        return {}
    found = {"mean": fmean(values), "std": pstdev(values), "min": min(values), "max": max(values)}
    return {f"{name}/{leaf}": found[leaf] for leaf in leaves}
