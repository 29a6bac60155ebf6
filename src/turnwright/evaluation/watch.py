"""The independent scorer beside the reward: what it says of the same episodes, and where the two disagree."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed
from turnwright.core.score import Score
from turnwright.evaluation.scorers import Scorer


def with_score(episode: Episode, scorer: Scorer | None) -> Episode:
    """Return the episode with its score; a failed one gets none, and without a scorer nothing changes."""
    if scorer is None or isinstance(episode.outcome, Failed):
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
