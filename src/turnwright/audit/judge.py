"""What counts as solved, by the reward and, apart from it, by an independent scorer."""

from dataclasses import dataclass
from typing import Protocol

from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed
from turnwright.core.score import Score


class EpisodeScorer(Protocol):
    """What the check asks of an evaluation suite's scorer."""

    def score(self, episode: Episode) -> Score:
        """Return the verdict."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Says which episodes count as solved; a failed episode never does."""

    success_threshold: float
    """Reward from which an episode counts as solved."""
    scorer: EpisodeScorer | None = None

    def by_reward(self, episode: Episode) -> bool:
        """Return whether the reward reaches the threshold."""
        return not isinstance(episode.outcome, Failed) and episode.outcome.value >= self.success_threshold

    def by_score(self, episode: Episode) -> bool | None:
        """Return the scorer's verdict; None without a scorer."""
        if self.scorer is None:
            return None
        return not isinstance(episode.outcome, Failed) and self.scorer.score(episode).success

    def solved(self, episode: Episode) -> bool:
        """Return whether reward and, where there is one, scorer agree that it is solved."""
        return self.by_reward(episode) and self.by_score(episode) is not False

    def complaint(self, episode: Episode) -> str:
        """Say why an episode is not solved."""
        if isinstance(episode.outcome, Failed):
            return f"failed with {episode.outcome.cause}: {episode.outcome.detail}"
        if not self.by_reward(episode):
            return f"its reward is {episode.outcome.value:g}, below {self.success_threshold:g}"
        return (
            f"its reward is {episode.outcome.value:g}, but the scorer calls the answer {episode.answer[:200]!r} wrong"
        )
