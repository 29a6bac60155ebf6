"""The environment under audit, and what its stages leave for later ones."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from turnwright.audit.answer_form import Truths
from turnwright.audit.answers import gold_of
from turnwright.audit.attacks import Attacks
from turnwright.audit.effort import ORDINARY, Effort
from turnwright.audit.floors import Floors
from turnwright.audit.frames import OwnCode, Use
from turnwright.audit.judge import EpisodeScorer, Judge
from turnwright.audit.leftovers import Surroundings
from turnwright.audit.solutions import Solutions
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.core.outcome import Failed
from turnwright.core.task import Task
from turnwright.environments.base import Environment

DefaultScorer = Callable[[Sequence[Task]], EpisodeScorer | None]
"""Makes a scorer of tasks; None where they have no ground truth it can use."""

FINAL_OUTPUT = "<final_output>"


@dataclass(slots=True, kw_only=True)
class Subject:
    """An audit under way; its stages leave here what later ones build on."""

    environment: str
    options: Mapping[str, Any] | None
    prototype: Environment
    fresh: Environment
    judge: Judge
    seed: int
    own: OwnCode
    allow_network: bool
    processes: int
    default_scorer: DefaultScorer | None
    surroundings: Surroundings
    """As they were before any episode."""
    tasks: Sequence[Task]
    """All that may be played, in the order drawn."""
    effort: Effort = ORDINARY
    solutions: Solutions = field(default_factory=lambda: Solutions(kind="rules", episodes=(), seconds=0.0))
    truths: Truths | None = None
    floors: Floors = field(default_factory=lambda: Floors(shares={}, findings=(), played={}))
    attacks: Attacks = field(default_factory=lambda: Attacks(shares={}, findings=(), right=(), wrong=(), played=()))
    uses: tuple[Use, ...] = ()
    elsewhere: asyncio.Task[tuple[Finding, ...]] | None = None
    """What other processes find, while it is under way."""

    def settle_scorer(self) -> None:
        """Take the default scorer, where the solutions answer in its format."""
        if self.default_scorer is not None and any(FINAL_OUTPUT in e.answer for e in self.solutions.episodes):
            self.judge = replace(self.judge, scorer=self.default_scorer(self.tasks))

    @property
    def solved(self) -> list[Episode]:
        """Return the solutions that solve their tasks."""
        return [episode for episode in self.solutions.episodes if self.judge.solved(episode)]

    @property
    def by_rules(self) -> tuple[Episode, ...]:
        """Return solutions by rules to look into; stated ground truth calls tools in ways that say nothing of them."""
        return self.solutions.episodes[: self.effort.probed] if self.solutions.kind == "rules" else ()

    @property
    def replayed(self) -> tuple[Episode, ...]:
        """Return the solutions to play again: what differs from play to play shows in a few."""
        return self.solutions.episodes[: self.effort.replayed]

    @property
    def intact(self) -> list[Episode]:
        """Return those that nothing broke."""
        return [episode for episode in self.by_rules if not isinstance(episode.outcome, Failed)]

    @property
    def idle_tasks(self) -> Sequence[Task]:
        """Return the tasks for plays without knowledge."""
        return self.tasks[: self.effort.idle]

    def known(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Return episodes whose tasks have ground truth: their own, or what the solution answers."""
        truths = self.truths.by_task if self.truths else {}
        return [
            episode
            if gold_of(episode.task) or episode.key.task_id not in truths
            else replace(
                episode, task=replace(episode.task, data={**episode.task.data, "gold": truths[episode.key.task_id]})
            )
            for episode in episodes
        ]
