"""Group: the attempts at one task that share a baseline."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.outcome import Failed
from turnwright.core.task import Task
from turnwright.core.trajectory import Row, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt, in messages and in tokens."""

    episode: Episode
    trajectory: Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """``group_size`` attempts at one task; failed ones stay listed but never count."""

    task: Task
    attempts: tuple[Attempt, ...]

    @property
    def survivors(self) -> tuple[Attempt, ...]:
        """Attempts whose outcome is not a failure of infrastructure."""
        return tuple(attempt for attempt in self.attempts if not isinstance(attempt.episode.outcome, Failed))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainableAttempt:
    """A surviving attempt as the learner sees it: rows and a reward, no environment."""

    key: EpisodeKey
    reward: float
    rows: tuple[Row, ...]
    truncated: bool = False
    turn_rewards: Mapping[int, float] = field(default_factory=dict[int, float])
    """By turn, where each has its own; they sum to ``reward``. Empty: the last turn earned it all."""

    @property
    def num_sampled_tokens(self) -> int:
        """Sampled tokens that are trained, over all rows."""
        return sum(row.num_trained_tokens for row in self.rows)

    @property
    def turns(self) -> tuple[int, ...]:
        """Turns that have a trained token or a reward, in order."""
        trained = {turn for row in self.rows for turn in row.turn_index if turn >= 0}
        return tuple(sorted(trained | self.turn_rewards.keys()))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainableGroup:
    """The survivors of one group, ready for advantages."""

    task_id: str
    attempts: tuple[TrainableAttempt, ...]
    domain: str | None = None
    """Member of a mixture that the task belongs to."""
