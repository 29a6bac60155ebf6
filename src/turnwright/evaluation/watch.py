"""Training watched from the side: pass@k by reward, the independent scorer on the same episodes, and disagreements."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from turnwright.core.episode import Episode
from turnwright.core.group import Group
from turnwright.core.outcome import Failed
from turnwright.core.score import Score
from turnwright.evaluation.domains import DomainScorer
from turnwright.evaluation.scorers import Scorer
from turnwright.evaluation.statistics import pass_at_k, pass_power_k


def with_score(episode: Episode, scorer: Scorer | None) -> Episode:
    """Return the episode with its score; a failed one gets none, and without a scorer for it nothing changes."""
    if scorer is None or isinstance(episode.outcome, Failed):
        return episode
    if isinstance(scorer, DomainScorer) and not scorer.judges(episode.task):
        return episode
    return replace(episode, score=scorer.score(episode))


def score_metrics(
    episodes: Sequence[Episode], scorer: Scorer | None, prefix: str, *, success_threshold: float
) -> dict[str, float]:
    """Return success, field accuracy and disagreement with the reward over scored episodes.

    A reward counts as a success from ``success_threshold`` on.
    """
    judged: list[tuple[Score, float]] = []
    for episode in episodes:
        scored = with_score(episode, scorer)
        if scored.score is not None and not isinstance(scored.outcome, Failed):
            judged.append((scored.score, scored.outcome.value))
    if not judged:
        return {}
    paid = [(score.success, reward >= success_threshold) for score, reward in judged]
    metrics = {
        f"{prefix}/success": fmean(success for success, _ in paid),
        f"{prefix}/completed": fmean(score.completed for score, _ in judged),
        f"{prefix}/disagreement/reward_only": fmean(reward and not success for success, reward in paid),
        f"{prefix}/disagreement/score_only": fmean(success and not reward for success, reward in paid),
    }
    fields = [right for score, _ in judged for right in score.fields.values()]
    if fields:
        metrics[f"{prefix}/field_accuracy"] = fmean(fields)
    return metrics


def pass_metrics(
    groups: Sequence[Group], prefix: str, *, pass_k_values: Sequence[int], success_threshold: float
) -> dict[str, float]:
    """Return pass@k and pass^k by reward threshold, for every k that the smallest group allows.

    Both spellings of the service are written: ``pass_at_{k}`` of its documentation, ``pass_k_{k}`` of its blog.
    """
    counts: list[tuple[int, int]] = []
    for group in groups:
        outcomes = [attempt.episode.outcome for attempt in group.survivors]
        rewards = [outcome.value for outcome in outcomes if not isinstance(outcome, Failed)]
        if rewards:
            counts.append((len(rewards), sum(reward >= success_threshold for reward in rewards)))
    metrics = {
        f"{prefix}/reward/num_prompts": float(len(groups)),
        f"{prefix}/reward/succeeded_rollouts": float(sum(c for _, c in counts)),
        f"{prefix}/reward/failed_rollouts": float(sum(n - c for n, c in counts)),
        f"{prefix}/reward/success_threshold": success_threshold,
    }
    for k in pass_k_values:
        if counts and k <= min(n for n, _ in counts):
            at_k = fmean(pass_at_k(n, c, k) for n, c in counts)
            metrics[f"{prefix}/reward/pass_at_{k}"] = metrics[f"{prefix}/reward/pass_k_{k}"] = at_k
            metrics[f"{prefix}/reward/pass_power_{k}"] = fmean(pass_power_k(n, c, k) for n, c in counts)
    return metrics
