"""Suites: which tasks, how often, and who judges. A suite and a checkpoint are all that an evaluation needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from turnwright.config.place import import_place
from turnwright.config.run import RunConfig
from turnwright.core.errors import ConfigError, DatasetError, EnvironmentLoadError
from turnwright.core.task import Split, Task
from turnwright.evaluation.domains import DomainScorer, tasks_by_domain
from turnwright.evaluation.scorers import (
    FinalDecisionScorer,
    FinalOutputScorer,
    RewardScorer,
    Scorer,
    collect_vocabulary,
)
from turnwright.evaluation.statistics import RESAMPLES

FINAL_OUTPUT = "final_output"
FINAL_DECISION = "final_decision"
REWARD = "reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One evaluation, fixed before anything is measured.

    Example: 300 held-out tasks, 8 attempts each at temperature 1 and one greedy::

        Suite(name="test", environment="returns_desk", split="test", num_tasks=300, attempts=8)
    """

    name: str
    environment: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the environment; of a mixture the name and options of each domain's."""
    split: Split = "test"
    scorer: str = FINAL_OUTPUT
    """"final_output", "final_decision", "module:Class", "path.py:Class", or "reward" where allowed."""
    scorers: Mapping[str, str] = field(default_factory=dict)
    """Of a mixture: the scorer of each domain, in place of ``scorer``."""
    allow_reward_as_scorer: bool = False
    success_threshold: float = 1.0
    """Reward that counts as success; read by the scorer "reward" alone."""
    num_tasks: int | None = None
    """Tasks used, from the first of the split; None = all."""
    attempts: int = 8
    """Sampled attempts per task."""
    temperature: float = 1.0
    greedy: bool = True
    """Also one attempt per task at temperature 0."""
    seed: int = 0
    """Seeds the sampling and the bootstrap."""
    resamples: int = RESAMPLES
    """Bootstrap resamples behind every interval."""

    def __post_init__(self) -> None:
        """Refuse a suite that cannot be run or that would let the reward judge itself unnoticed."""
        if self.judged_by_reward and not self.allow_reward_as_scorer:
            raise ConfigError(
                f"suite {self.name!r} scores with the environment's own reward, which cannot show that the reward is "
                'right; name an independent scorer ("final_output", "module:Class"), or set '
                "allow_reward_as_scorer = true, which the report shows"
            )
        if self.num_tasks is not None and self.num_tasks < 1:
            raise ConfigError(f"num_tasks of suite {self.name!r} must be at least 1: got {self.num_tasks}")
        if self.attempts < 1:
            raise ConfigError(f"attempts of suite {self.name!r} must be at least 1: got {self.attempts}")
        if self.temperature <= 0:
            raise ConfigError(
                f"temperature of suite {self.name!r} must be above 0: got {self.temperature}; "
                "greedy = true adds the attempt at temperature 0"
            )

    @property
    def judge(self) -> str:
        """Who scores, in words: one name, or of a mixture with several "returns: final_output, words: my.py:Strict"."""
        if len(set(self.scorers.values())) > 1:
            return ", ".join(f"{domain}: {name}" for domain, name in sorted(self.scorers.items()))
        return next(iter(self.scorers.values()), self.scorer)

    @property
    def judged_by_reward(self) -> bool:
        """Whether the environment's own reward is the scorer, of any domain."""
        return REWARD in (self.scorers.values() or (self.scorer,))

    @classmethod
    def from_config(cls, config: RunConfig) -> "Suite":
        """Return the suite that a run's [environment] and [evaluation] sections describe."""
        section, choice = config.evaluation, config.environment
        scorer = section.scorer or FINAL_OUTPUT
        members = {domain: choice.mixture[domain] for domain in sorted(choice.mixture)}
        worlds = {domain: {"name": member.name, "options": member.options} for domain, member in members.items()}
        return cls(
            name=section.split,
            environment=choice.title,
            options=worlds or choice.options,
            split=section.split,
            scorer=scorer,
            scorers={domain: member.scorer or scorer for domain, member in members.items()},
            allow_reward_as_scorer=section.allow_reward_as_scorer,
            num_tasks=section.tasks,
            attempts=section.attempts,
            temperature=section.temperature,
            greedy=section.greedy,
            seed=config.run.seed,
            resamples=section.resamples,
        )


def select_tasks(suite: Suite, tasks: Iterable[Task]) -> tuple[Task, ...]:
    """Return the suite's tasks, the first ``num_tasks`` of the split.

    Raises:
        DatasetError: the split is empty, smaller than ``num_tasks``, or repeats an id.
    """
    available = tuple(tasks)
    where = f"split {suite.split!r} of environment {suite.environment!r}"
    if len({task.id for task in available}) != len(available):
        raise DatasetError(f"task ids of {where} must be unique: got {len(available)} tasks with repeated ids")
    wanted = len(available) if suite.num_tasks is None else suite.num_tasks
    if not available or wanted > len(available):
        raise DatasetError(
            f"suite {suite.name!r} needs {max(wanted, 1)} tasks: {where} has {len(available)}; lower num_tasks"
        )
    return available[:wanted]


def build_scorer(suite: Suite, split_tasks: Sequence[Task]) -> Scorer:
    """Return the suite's scorer; "final_output" takes its closed vocabulary from all tasks of the split.

    Of a mixture every domain has its own, with the vocabulary of its own tasks.

    Raises:
        EnvironmentLoadError: the scorer's name does not resolve to a class with ``score(episode)``.
        ConfigError: the name resolves to something that also computes rewards, and the suite does not allow that.
    """
    if suite.scorers:
        tasks = tasks_by_domain(split_tasks)
        return DomainScorer(
            {
                domain: build_scorer(replace(suite, scorer=name, scorers={}), tasks.get(domain, ()))
                for domain, name in suite.scorers.items()
            }
        )
    if suite.scorer == FINAL_OUTPUT:
        return FinalOutputScorer(collect_vocabulary(split_tasks))
    if suite.scorer == FINAL_DECISION:
        return FinalDecisionScorer(collect_vocabulary(split_tasks))
    if suite.scorer == REWARD:
        return RewardScorer(suite.success_threshold)
    scorer_class = _load_class(suite.scorer)
    if hasattr(scorer_class, "reward") and not suite.allow_reward_as_scorer:
        raise ConfigError(
            f"scorer {suite.scorer!r} of suite {suite.name!r} is an environment or computes rewards itself; "
            "name a class of its own, or set allow_reward_as_scorer = true, which the report shows"
        )
    if not callable(getattr(scorer_class, "score", None)):
        raise EnvironmentLoadError(f"scorer {suite.scorer!r} must have a method score(episode) -> Score: it has none")
    return cast("Scorer", scorer_class())


def _load_class(name: str) -> type[Any]:
    location, _, class_name = name.rpartition(":")
    if not location or not class_name:
        raise EnvironmentLoadError(
            'scorer must be "final_output", "final_decision", "reward", "package.module:Class" or '
            f'"path/file.py:Class": got {name!r}'
        )
    found = getattr(import_place(location, f"scorer {name!r}"), class_name, None)
    if not isinstance(found, type):
        raise EnvironmentLoadError(f"scorer {name!r}: {location!r} has no class {class_name!r}")
    return found
