"""What a baseline says of attempts whose outcome is known."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from turnwright.config import resolve, resolve_values
from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Outcome, Rewarded, Truncated
from turnwright.core.score import Score
from turnwright.core.task import Task
from turnwright.launch.baseline import Baseline, assess, predict_uniform

CONFIG = resolve(None, ["environment.name=returns_desk", "algorithm.group_size=4"]).config


def make(task: str, attempt: int, outcome: Outcome, success: bool | None = None) -> Episode:
    return Episode(
        key=EpisodeKey(task_id=task, attempt=attempt),
        task=Task(id=task, prompt="?"),
        opening=(),
        turns=(Turn(reply=Message(role="assistant", content="my answer")),),
        outcome=outcome,
        score=None if success is None else Score(success=success),
    )


def rewarded(task: str, *values: float) -> list[Episode]:
    return [make(task, i, Rewarded(value=value), success=value >= 1.0) for i, value in enumerate(values)]


def judge(episodes: Sequence[Episode]) -> Baseline:
    return assess(episodes, CONFIG, split="train")


def test_success_reward_and_uniform_groups_are_counted() -> None:
    found = judge([*rewarded("a", 1.0, 0.5, 0.0, 1.0), *rewarded("b", 0.5, 0.5, 0.5, 0.5)])
    assert found.success is not None
    assert (found.success.value, found.reward_mean, found.uniform_groups) == (0.25, 0.5625, 0.5)
    assert found.reward_variance == pytest.approx((2 * 0.4375**2 + 5 * 0.0625**2 + 0.5625**2) / 8)
    assert (found.passed, found.scored, found.num_tasks, found.failed) == (True, True, 2, 0)
    assert json.loads(found.to_json())["predicted_uniform"].keys() == {"4", "8", "16"}


def test_without_any_success_there_is_no_foothold() -> None:
    found = judge(rewarded("a", 0.0, 0.5, 0.0, 0.5))
    assert not found.passed
    assert found.problems[0].startswith("no foothold")
    assert "turnwright warmstart" in found.problems[0]


def test_a_reward_that_never_differs_is_a_problem() -> None:
    found = judge([*rewarded("a", 1.0, 1.0), *rewarded("b", 1.0, 1.0)])
    assert [problem.split(",")[0] for problem in found.problems] == ["every attempt has the same reward"]


def test_failed_attempts_count_as_lost_and_not_as_zero() -> None:
    found = judge([*rewarded("a", 1.0, 0.0), make("a", 2, Failed(cause="tool_error"))])
    assert (found.failed, found.reward_mean) == (1, 0.5)
    nothing = judge([make("a", 0, Failed(cause="tool_error"))])
    assert nothing.success is None
    assert "every attempt failed" in nothing.problems[0]


def test_attempts_that_only_the_reward_calls_solved_are_listed() -> None:
    found = judge([*rewarded("a", 0.0, 1.0), make("b", 3, Rewarded(value=1.0), success=False)])
    (overpaid,) = found.overpaid
    assert (overpaid.episode, overpaid.reward, overpaid.answer) == ("b#3", 1.0, "my answer")


def test_limits_that_cut_too_often_are_advised_to_be_raised() -> None:
    cut = [make("a", i, Truncated(value=0.0, cause="token_cap"), success=False) for i in range(2)]
    found = judge([*cut, *rewarded("b", 1.0, 0.0)])
    assert found.token_capped == 0.5
    assert any("sampling.sampling_max_tokens" in advice for advice in found.advice)
    assert not any("max_turns" in advice for advice in found.advice)


def test_each_domain_of_a_mixture_needs_its_own_foothold() -> None:
    members = {"easy": {"name": "procedures"}, "hard": {"name": "returns_desk"}}
    values = {"environment": {"mixture": members}, "algorithm": {"group_size": 4}}
    config = resolve_values(values, source="test").config

    def of_domain(domain: str, *values: float) -> list[Episode]:
        task = Task(id=f"{domain}/t", prompt="?", domain=domain)
        return [replace(episode, task=task) for episode in rewarded(task.id, *values)]

    found = assess([*of_domain("easy", 1.0, 0.0), *of_domain("hard", 0.0, 0.5)], config, split="train")
    assert found.success is not None
    assert (found.environment, found.success.value, found.passed) == ("mixture of easy and hard", 0.25, False)
    assert [problem.split(":")[:2] for problem in found.problems] == [["hard", " no foothold"]]
    easy, hard = found.domains["easy"], found.domains["hard"]
    assert (easy.environment, easy.passed, easy.reward_mean) == ("procedures", True, 0.5)
    assert (hard.environment, hard.passed, hard.reward_mean) == ("returns_desk", False, 0.25)
    assert json.loads(found.to_json())["domains"]["hard"]["num_tasks"] == 1
    assert judge(rewarded("a", 1.0, 0.0)).domains == {}


def test_one_task_difficulty_predicts_binomial_groups() -> None:
    # Every task at exactly 4 of 8: less spread than chance would give, so no task differs from another.
    assert predict_uniform([(4, 8)] * 50, 4) == pytest.approx(2 * 0.5**4)


def test_tasks_that_are_easy_or_hopeless_predict_uniform_groups() -> None:
    assert predict_uniform([(0, 8), (8, 8)] * 20, 16) == 1.0
    assert predict_uniform([(0, 8)] * 5, 4) == 1.0


def test_difficulty_that_differs_predicts_by_beta_binomial() -> None:
    # Shares uniform over 0..1 in steps of 1/8: mean 1/2, variance 5/48, so with n = 8 the correlation is 1/3 and
    # Beta(1, 1): E[p^k] = 1 / (k + 1).
    counts = [(successes, 8) for successes in range(9)]
    assert predict_uniform(counts, 4) == pytest.approx(2 / 5)
    assert predict_uniform(counts, 16) == pytest.approx(2 / 17)


def test_larger_groups_are_never_more_uniform() -> None:
    shares = [predict_uniform([(1, 8), (3, 8), (0, 8), (6, 8)], size) for size in range(2, 20)]
    assert all(later <= earlier for earlier, later in pairwise(shares))
