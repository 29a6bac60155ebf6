"""What counts as solved, by the reward and, apart from it, by an independent scorer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from turnwright.audit.report import Floor
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
    breaks: list[str] = field(default_factory=list[str])
    """What the scorer raised."""

    def by_reward(self, episode: Episode) -> bool:
        """Return whether the reward reaches the threshold."""
        return not isinstance(episode.outcome, Failed) and episode.outcome.value >= self.success_threshold

    def by_score(self, episode: Episode) -> bool | None:
        """Return the scorer's verdict; None without a scorer."""
        if self.scorer is None:
            return None
        if isinstance(episode.outcome, Failed):
            return False
        try:
            return self.scorer.score(episode).success
        except Exception as error:  # the boundary that attributes what a scorer raises
            self.breaks.append(f"{type(error).__name__}: {error}, on the final reply {episode.answer[:120]!r}")
            return False

    def solved(self, episode: Episode) -> bool:
        """Return whether reward and, where there is one, scorer agree that it is solved."""
        return self.by_reward(episode) and self.by_score(episode) is not False

    def share(self, episodes: Sequence[Episode]) -> Floor:
        """Return the share of episodes that reward and scorer, each by itself, call solved."""
        scored = sum(map(bool, map(self.by_score, episodes))) / len(episodes) if self.scorer else None
        return Floor(by_reward=sum(map(self.by_reward, episodes)) / len(episodes), by_score=scored)

    def complaint(self, episode: Episode) -> str:
        """Say why an episode is not solved."""
        if isinstance(episode.outcome, Failed):
            return f"failed with {episode.outcome.cause}: {episode.outcome.detail}"
        if not self.by_reward(episode):
            return f"its reward is {episode.outcome.value:g}, below {self.success_threshold:g}"
        return (
            f"its reward is {episode.outcome.value:g}, but the scorer calls the answer {episode.answer[:200]!r} wrong"
        )
