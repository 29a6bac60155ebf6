"""Suites choose tasks reproducibly and keep the reward from judging itself."""

from pathlib import Path

import pytest

from turnwright.config.run import RunConfig
from turnwright.core.errors import ConfigError, DatasetError, EnvironmentLoadError
from turnwright.core.task import Task
from turnwright.evaluation.scorers import FinalDecisionScorer, FinalOutputScorer, RewardScorer
from turnwright.evaluation.suites import Suite, build_scorer, select_tasks

TASKS = tuple(
    Task(id=f"t{i}", prompt="p", data={"gold": {"a": "x" if i % 2 else "y"}}, split="test") for i in range(20)
)

SCORER_FILE = """
from turnwright.core.score import Score

class Always:
    def score(self, episode):
        return Score(success=True)

class Disguised(Always):
    def reward(self, episode):
        return 1.0

class Silent:
    pass
"""


def test_tasks_are_the_first_of_the_split() -> None:
    assert select_tasks(Suite(name="s", environment="e", num_tasks=5), TASKS) == TASKS[:5]


def test_suite_of_a_run_says_what_its_config_says() -> None:
    config = RunConfig.model_validate(
        {
            "run": {"seed": 3},
            "environment": {"name": "e", "options": {"folder": "f"}},
            "evaluation": {"tasks": 7, "attempts": 4, "greedy": False, "scorer": "m:C", "resamples": 500},
        }
    )
    assert Suite.from_config(config) == Suite(
        name="test",
        environment="e",
        options={"folder": "f"},
        scorer="m:C",
        num_tasks=7,
        attempts=4,
        greedy=False,
        seed=3,
        resamples=500,
    )


def test_every_task_is_taken_without_a_number() -> None:
    assert select_tasks(Suite(name="s", environment="e"), TASKS) == TASKS


@pytest.mark.parametrize("tasks", [(), TASKS[:3], TASKS[:6] + TASKS[:1]])
def test_too_few_or_repeated_tasks_are_refused(tasks: tuple[Task, ...]) -> None:
    with pytest.raises(DatasetError, match="'e'"):
        select_tasks(Suite(name="s", environment="e", num_tasks=6), tasks)


def test_reward_as_scorer_is_refused_unless_allowed() -> None:
    with pytest.raises(ConfigError, match="allow_reward_as_scorer"):
        Suite(name="s", environment="e", scorer="reward")
    allowed = Suite(name="s", environment="e", scorer="reward", allow_reward_as_scorer=True)
    assert isinstance(build_scorer(allowed, TASKS), RewardScorer)


def test_built_in_scorer_takes_its_vocabulary_from_the_split() -> None:
    scorer = build_scorer(Suite(name="s", environment="e"), TASKS)
    assert isinstance(scorer, FinalOutputScorer)
    official = build_scorer(Suite(name="s", environment="e", scorer="final_decision"), TASKS)
    assert isinstance(official, FinalDecisionScorer)


def test_scorer_loads_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scorer.py"
    path.write_text(SCORER_FILE)
    scorer = build_scorer(Suite(name="s", environment="e", scorer=f"{path}:Always"), TASKS)
    assert type(scorer).__name__ == "Always"


def test_scorer_that_computes_rewards_is_refused_unless_allowed(tmp_path: Path) -> None:
    path = tmp_path / "scorer.py"
    path.write_text(SCORER_FILE)
    with pytest.raises(ConfigError, match="Disguised"):
        build_scorer(Suite(name="s", environment="e", scorer=f"{path}:Disguised"), TASKS)


@pytest.mark.parametrize("name", ["unknown", "no.such.module:Class", "missing.py:Class", "json:NoClass", "json:loads"])
def test_unresolvable_scorer_names_itself(name: str) -> None:
    with pytest.raises(EnvironmentLoadError, match=name.partition(":")[0]):
        build_scorer(Suite(name="s", environment="e", scorer=name), TASKS)


def test_class_without_score_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scorer.py"
    path.write_text(SCORER_FILE)
    with pytest.raises(EnvironmentLoadError, match="score"):
        build_scorer(Suite(name="s", environment="e", scorer=f"{path}:Silent"), TASKS)


@pytest.mark.parametrize("change", [{"num_tasks": 0}, {"attempts": 0}, {"temperature": 0.0}])
def test_impossible_suites_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        Suite(name="s", environment="e", **change)  # type: ignore[arg-type]
