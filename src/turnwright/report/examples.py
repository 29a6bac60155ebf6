"""Which episodes the report shows: where reward and score disagree first, then the worst, then the best."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed

PER_KIND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An episode and why it is shown."""

    kind: str
    episode: Episode


def reward_of(episode: Episode) -> float | None:
    """Return the episode's reward; None for a failed one."""
    return None if isinstance(episode.outcome, Failed) else episode.outcome.value


def pick_examples(episodes: Sequence[Episode], *, success_threshold: float) -> tuple[Example, ...]:
    """Return at most 3 episodes of each kind, each of another task, none twice."""
    graded = [episode for episode in episodes if reward_of(episode) is not None]
    by_merit = sorted(graded, key=_merit)
    kinds: tuple[tuple[str, Iterable[Episode]], ...] = (
        ("Rewarded, but the scorer says no", _disagreements(by_merit, success_threshold, rewarded=True)),
        ("The scorer says yes, but the reward is low", _disagreements(by_merit, success_threshold, rewarded=False)),
        ("Worst", (episode for episode in by_merit if not _solved(episode, success_threshold))),
        ("Failed: something other than the policy broke", (e for e in episodes if reward_of(e) is None)),
        ("Best", (episode for episode in reversed(by_merit) if _solved(episode, success_threshold))),
    )
    shown: set[int] = set()
    examples: list[Example] = []
    for kind, candidates in kinds:
        for episode in _other_tasks(candidates, shown):
            shown.add(id(episode))
            examples.append(Example(kind=kind, episode=episode))
    return tuple(examples)


def count_disagreements(episodes: Sequence[Episode], *, success_threshold: float) -> tuple[int, int]:
    """Return how many episodes only the reward calls solved, and how many only the scorer does."""
    reward_only = sum(1 for _ in _disagreements(episodes, success_threshold, rewarded=True))
    return reward_only, sum(1 for _ in _disagreements(episodes, success_threshold, rewarded=False))


def _disagreements(episodes: Iterable[Episode], success_threshold: float, *, rewarded: bool) -> Iterator[Episode]:
    for episode in episodes:
        reward = reward_of(episode)
        if episode.score is None or reward is None:
            continue
        if (reward >= success_threshold) == rewarded and episode.score.success != rewarded:
            yield episode


def _other_tasks(candidates: Iterable[Episode], shown: set[int]) -> Iterator[Episode]:
    tasks: set[str] = set()
    for episode in candidates:
        if len(tasks) == PER_KIND:
            return
        if episode.key.task_id not in tasks and id(episode) not in shown:
            tasks.add(episode.key.task_id)
            yield episode


def _solved(episode: Episode, success_threshold: float) -> bool:
    reward = reward_of(episode)
    return episode.score.success if episode.score else reward is not None and reward >= success_threshold


def _merit(episode: Episode) -> tuple[bool, float, int]:
    """Order from worst to best; among equals the longer episode is the worse one."""
    reward = reward_of(episode)
    return (bool(episode.score and episode.score.success), 0.0 if reward is None else reward, -len(episode.turns))
