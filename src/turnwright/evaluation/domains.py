"""Domains: the members of a mixture are judged one by one, each by its own scorer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from turnwright.core.episode import Episode
from turnwright.core.score import Score
from turnwright.core.task import Task, leave_domain
from turnwright.evaluation.scorers import Scorer


class DomainScorer:
    """Implements Scorer: each episode is judged by its own domain's scorer, under the ids of its own environment."""

    def __init__(self, scorers: Mapping[str, Scorer]) -> None:
        """Take the scorers by domain; a domain without one is not scored."""
        self._scorers = scorers

    def judges(self, task: Task) -> bool:
        """Say whether the task's domain has a scorer."""
        return task.domain in self._scorers

    def score(self, episode: Episode) -> Score:
        """Return the verdict; raises ValueError for a domain without a scorer."""
        task = episode.task
        if not self.judges(task):
            raise ValueError(
                f"no scorer judges domain {task.domain!r} of episode '{episode.key}': there are "
                f"{', '.join(sorted(self._scorers))}"
            )
        own = leave_domain(task)
        return self._scorers[task.domain or ""].score(
            replace(episode, task=own, key=replace(episode.key, task_id=own.id))
        )


def tasks_by_domain(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """Return the tasks of a mixture by domain, as their own environments know them; empty outside a mixture."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        if task.domain is not None:
            found.setdefault(task.domain, []).append(leave_domain(task))
    return {domain: found[domain] for domain in sorted(found)}
