"""Which episode is played, by whom, and how it is scored."""

import pytest

from system import worlds
from turnwright.config import RunConfig, resolve, resolve_values
from turnwright.core.errors import ConfigError
from turnwright.core.task import Task, enter_domain
from turnwright.evaluation.domains import DomainScorer
from turnwright.launch.play import play_episode
from turnwright.launch.scoring import choose_scorer, configured_scorer


def config(*settings: str) -> RunConfig:
    return resolve(None, [f"environment.name={worlds.__file__}:Talk", "model.path=oracle", *settings]).config


def test_the_first_task_of_the_test_split_is_played_and_scored() -> None:
    episode = play_episode(config())
    assert episode.task.id == "test-0"
    assert episode.score is not None
    assert episode.score.success


def test_a_task_is_chosen_by_id_and_split() -> None:
    assert play_episode(config(), split="train", task="train-7").task.id == "train-7"
    with pytest.raises(ConfigError, match=r"has no task 'train-7' here; the first ones are: test-0, test-1, test-2"):
        play_episode(config(), task="train-7")


def test_other_scripted_policies_play_too() -> None:
    clerk = resolve(None, ["environment.name=returns_desk", "model.path=hasty_clerk"]).config
    assert play_episode(clerk).turns


def test_tasks_without_ground_truth_are_not_scored() -> None:
    tasks = worlds.Talk().tasks("test")
    assert choose_scorer(None, "talk", tasks) is not None
    assert choose_scorer(None, "talk", []) is None
    bare = [worlds.Task(id="bare", prompt="?")]
    assert choose_scorer(None, "talk", [*tasks, *bare]) is None


def test_each_domain_of_a_mixture_is_judged_by_its_own_scorer() -> None:
    members = {"gold": {"name": "talk"}, "bare": {"name": "talk"}, "paid": {"name": "talk", "scorer": "reward"}}
    values = {"environment": {"mixture": members}}
    config = resolve_values(values, source="test").config
    gold = enter_domain(Task(id="1", prompt="?", data={"gold": {"word": "yes"}}), "gold")
    bare = enter_domain(Task(id="1", prompt="?"), "bare")
    with pytest.raises(ConfigError, match="allow_reward_as_scorer"):
        configured_scorer(config, [gold, bare])
    del members["paid"]
    scorer = configured_scorer(resolve_values(values, source="test").config, [gold, bare])
    assert isinstance(scorer, DomainScorer)
    assert (scorer.judges(gold), scorer.judges(bare)) == (True, False)
    del members["gold"]
    assert configured_scorer(resolve_values(values, source="test").config, [bare]) is None
