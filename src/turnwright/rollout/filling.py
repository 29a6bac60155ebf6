"""Filling: what became of groups, which of them a step trains, and which left for others.

    deal --> make --> signal? --yes--------------------------------> trained
              ^          |no
              |          +-- rounds left? --no--> trained as it is, for whatever that is worth
              |                  |yes
              +-- deal another --+--> left out, with its tokens

A fresh group takes the place of the one it replaces, so a step trains on as many groups as it would without filling,
each domain of a mixture keeps its share, and the deal to optimizer updates stays. Whether a group carries signal is for
the learner to say. A group that would be too old when its turn comes leaves for a fresh one too (stream.py).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt, Group, TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.rollout.batches import Dealt
from turnwright.rollout.repetition import Repetition, RepetitionSettings, find_repetitions
from turnwright.rollout.trainable import trainable_group
from turnwright.rundir.records import BatchRecord, Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeGroup:
    """A group that was dealt, and what became of it.

    One that was given up while it was made has the attempts that had ended.
    """

    dealt: Dealt
    group: Group
    trainable: TrainableGroup
    repetitions: Mapping[EpisodeKey, Repetition] = field(default_factory=dict[EpisodeKey, Repetition])
    """Attempts that are not trained because they repeat themselves."""

    @property
    def oldest(self) -> int:
        """Version that sampled its oldest token to train; the one it was admitted under where it has none."""
        rows = [row for attempt in self.trainable.attempts for row in attempt.rows]
        versions = (
            version
            for row in rows
            for version, trained in zip(row.policy_versions, row.trained, strict=True)
            if trained
        )
        return min(versions, default=self.dealt.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGroups:
    """The groups that were made for one step.

    Example: of three groups the second had no signal, and a first round replaced it: ``trained`` has three groups, the
    second of them of round 1, and ``replaced`` has one.
    """

    trained: tuple[MadeGroup, ...]
    """In the order in which they are trained."""
    replaced: tuple[MadeGroup, ...] = ()
    """Groups without signal that left for others, in order of leaving."""
    evicted: tuple[MadeGroup, ...] = ()
    """Groups that left because they would have grown too old, with the attempts that had ended by then."""

    @property
    def left(self) -> tuple[MadeGroup, ...]:
        """Groups that left for others."""
        return (*self.replaced, *self.evicted)

    @property
    def groups(self) -> list[Group]:
        """All of them, those that are trained first."""
        return [made.group for made in (*self.trained, *self.left)]

    @property
    def attempts(self) -> list[Attempt]:
        """Attempts of all groups."""
        return [attempt for group in self.groups for attempt in group.attempts]

    @property
    def trainable(self) -> list[TrainableGroup]:
        """What the learner gets."""
        return [made.trainable for made in self.trained]

    @property
    def rows(self) -> list[Row]:
        """Rows that are trained."""
        return [row for group in self.trainable for attempt in group.attempts for row in attempt.rows]

    @property
    def repetitions(self) -> Mapping[EpisodeKey, Repetition]:
        """Attempts that repeat themselves, in all groups."""
        return {key: one for made in (*self.trained, *self.left) for key, one in made.repetitions.items()}

    @property
    def left_out(self) -> Collection[EpisodeKey]:
        """Attempts that are not trained whatever became of them: those that repeat themselves or left with a group."""
        return self.repetitions.keys() | {a.episode.key for made in self.left for a in made.group.attempts}

    @property
    def num_rounds(self) -> int:
        """Rounds of filling that were made."""
        return max(made.dealt.round for made in self.trained)

    def num_of(self, domain: str) -> int:
        """Return how many of the trained groups belong to a domain."""
        return sum(made.group.task.domain == domain for made in self.trained)

    def record(self, step: int) -> BatchRecord:
        """Return what the run directory keeps of it."""
        fates: list[tuple[Fate, tuple[MadeGroup, ...]]] = [
            ("trained", self.trained),
            ("no_signal", self.replaced),
            ("stale", self.evicted),
        ]
        return BatchRecord(step=step, groups=tuple(made.dealt.record(fate) for fate, some in fates for made in some))


def judge_group(dealt: Dealt, attempts: Sequence[Attempt], repetition: RepetitionSettings | None) -> MadeGroup:
    """Return what became of a group's attempts; those that repeat themselves are not trained."""
    group = Group(task=dealt.task, attempts=tuple(attempts))
    repetitions = find_repetitions(attempts, repetition)
    return MadeGroup(
        dealt=dealt, group=group, trainable=trainable_group(group, repetitions.keys()), repetitions=repetitions
    )


def filling_metrics(replaced: Sequence[Group]) -> dict[str, float]:
    """Return what the groups that left a step have cost."""
    tokens = sum(attempt.trajectory.num_sampled_tokens for group in replaced for attempt in group.attempts)
    return {"rollout/fill/groups": float(len(replaced)), "rollout/fill/tokens": float(tokens)}
