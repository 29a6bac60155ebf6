"""From finished episodes to a result."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from turnwright.core.episode import Episode
from turnwright.core.errors import RunDirectoryError
from turnwright.core.outcome import Rewarded
from turnwright.core.score import Score
from turnwright.core.task import Task
from turnwright.evaluation.evaluator import AttemptRequest, evaluate, hash_tasks, score_episodes, summarise
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.scorers import FinalOutputScorer
from turnwright.evaluation.statistics import wilson_interval
from turnwright.evaluation.suites import Suite

SUITE = Suite(name="held-out", environment="desk", attempts=2, resamples=500)
SCORER = FinalOutputScorer({"a": ("x", "y"), "b": ("x", "y")})
MakeEpisode = Callable[..., Episode]

SAMPLED = (("right", "right"), ("right", "wrong"), ("half", "mute"), ("failed", "cut"))
GREEDY = ("right", "right", "wrong", "failed")


@pytest.fixture
def result(tasks: tuple[Task, ...], make_episode: MakeEpisode) -> EvaluationResult:
    sampled = [
        make_episode(number, kind, attempt=attempt, tool_error=(number, attempt) == (0, 0))
        for number, kinds in enumerate(SAMPLED)
        for attempt, kind in enumerate(kinds)
    ]
    greedy = [make_episode(number, kind) for number, kind in enumerate(GREEDY)]
    return summarise(
        SUITE,
        tasks=tasks,
        sampled=score_episodes(sampled, SCORER),
        greedy=score_episodes(greedy, SCORER),
        checkpoint="runs/a/checkpoints/step_000040",
        step=40,
    )


def test_success_averages_tasks_and_leaves_failures_out(result: EvaluationResult) -> None:
    # Task means 1, 1/2, 0 and, with its failed attempt left out, 0.
    assert result.success is not None
    assert result.success.value == pytest.approx(1.5 / 4)
    assert [(task.attempts, task.successes, task.failed) for task in result.tasks] == [
        (2, 2, 0),
        (2, 1, 0),
        (2, 0, 0),
        (1, 0, 1),
    ]


def test_pass_rates_take_tasks_with_enough_attempts(result: EvaluationResult) -> None:
    first, second = result.pass_rates
    assert result.success is not None
    assert first.at_least_one.value == first.all.value == result.success.value
    # Two attempts: tasks 0, 1, 2 only; at least one right in 2 of 3, both right in 1 of 3.
    assert second.at_least_one.value == pytest.approx(2 / 3)
    assert second.all.value == pytest.approx(1 / 3)


def test_greedy_success_is_wilson_over_scored_tasks(result: EvaluationResult) -> None:
    assert result.greedy_success == wilson_interval(2, 3)
    assert [task.greedy for task in result.tasks] == [True, True, False, None]


def test_unreadable_answers_have_every_field_wrong(result: EvaluationResult) -> None:
    # a: 1, 1/2, 1/2 (mute counts as wrong), 0; b: 1, 1/2, 0, 0.
    assert result.fields["a"].value == pytest.approx(2 / 4)
    assert result.fields["b"].value == pytest.approx(1.5 / 4)
    assert result.field_accuracy is not None
    assert result.field_accuracy.value == pytest.approx((2 + 1.5) / 8)


def test_scorer_that_names_no_fields_for_unreadable_answers_gains_nothing(
    tasks: tuple[Task, ...], make_episode: MakeEpisode
) -> None:
    class Lazy:
        def score(self, episode: Episode) -> Score:
            full = SCORER.score(episode)
            return full if full.completed else replace(full, fields={})

    episodes = [make_episode(0, "right"), make_episode(1, "mute"), make_episode(2, "mute"), make_episode(3, "mute")]
    suite = replace(SUITE, attempts=1)
    result = summarise(suite, tasks=tasks, sampled=score_episodes(episodes, Lazy()), checkpoint="c")
    assert result.field_accuracy is not None
    assert result.field_accuracy.value == 0.25


def test_completion_turns_tools_and_reward(result: EvaluationResult) -> None:
    assert result.completion is not None
    assert result.reward is not None
    assert result.completion.value == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert result.reward.value == pytest.approx((1 + 0.5 + 0.25 + 0) / 4)
    assert result.turns_mean == 2
    assert result.tool_error_fraction == pytest.approx(1 / 7)


def test_failed_attempts_are_counted_and_many_are_said(result: EvaluationResult) -> None:
    assert result.outcomes.failed == pytest.approx(2 / 12)
    assert result.outcomes.truncated == pytest.approx(1 / 12)
    assert result.outcomes.rewarded == pytest.approx(9 / 12)
    assert any("16.7%" in warning for warning in result.warnings)


def test_nothing_scored_is_no_zero(tasks: tuple[Task, ...], make_episode: MakeEpisode) -> None:
    result = summarise(SUITE, tasks=tasks, sampled=[make_episode(n, "failed") for n in range(4)], checkpoint="c")
    assert result.success is None
    assert result.field_accuracy is None
    assert result.pass_rates == ()
    assert any("4 of 4 tasks" in warning for warning in result.warnings)


def test_result_survives_json(result: EvaluationResult) -> None:
    assert EvaluationResult.from_json(result.to_json()) == result


def test_text_that_is_no_result_is_named() -> None:
    with pytest.raises(RunDirectoryError, match=r"base\.json"):
        EvaluationResult.from_json("{}", where="base.json")


def test_episode_of_another_suite_or_without_score_is_refused(
    tasks: tuple[Task, ...], make_episode: MakeEpisode
) -> None:
    with pytest.raises(ValueError, match="t3#0"):
        summarise(SUITE, tasks=tasks[:2], sampled=[make_episode(3, "failed")], checkpoint="c")
    with pytest.raises(ValueError, match="score_episodes"):
        summarise(SUITE, tasks=tasks, sampled=[make_episode(0, "right")], checkpoint="c")


def test_task_hash_sees_content_and_not_order(tasks: tuple[Task, ...]) -> None:
    changed = (replace(tasks[0], data={"gold": {"a": "y", "b": "y"}}), *tasks[1:])
    assert hash_tasks(tasks) == hash_tasks(reversed(tasks))
    assert hash_tasks(tasks) != hash_tasks(changed)


def test_evaluate_asks_for_sampled_and_greedy_attempts_apart(
    tasks: tuple[Task, ...], make_episode: MakeEpisode, tmp_path: Path
) -> None:
    requests: list[AttemptRequest] = []

    async def collect(request: AttemptRequest) -> Sequence[Episode]:
        requests.append(request)
        kind = "right" if request.temperature == 0 else "wrong"
        return [make_episode(n, kind, attempt=a) for n in range(len(request.tasks)) for a in range(request.attempts)]

    found = asyncio.run(evaluate(tmp_path, replace(SUITE, num_tasks=3), split_tasks=tasks, collect=collect, step=7))
    assert [(request.attempts, request.temperature) for request in requests] == [(2, 1.0), (1, 0.0)]
    assert {request.checkpoint for request in requests} == {tmp_path}
    assert found.result.success is not None
    assert found.result.greedy_success is not None
    assert (found.result.num_tasks, found.result.step) == (3, 7)
    assert (found.result.success.value, found.result.greedy_success.value) == (0.0, 1.0)
    assert all(episode.score for episode in (*found.sampled, *found.greedy))


def test_reward_as_scorer_is_flagged(tasks: tuple[Task, ...], make_episode: MakeEpisode) -> None:
    suite = replace(SUITE, scorer="reward", allow_reward_as_scorer=True)

    async def collect(request: AttemptRequest) -> Sequence[Episode]:
        return [replace(make_episode(n, "mute"), outcome=Rewarded(value=1.0)) for n in range(4)]

    result = asyncio.run(evaluate(Path("c"), suite, split_tasks=tasks, collect=collect)).result
    assert result.success is not None
    assert result.success.value == 1.0
    assert result.reward_is_scorer
    assert "own reward" in result.warnings[0]
