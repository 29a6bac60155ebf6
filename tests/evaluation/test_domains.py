"""Mixtures are judged domain by domain: scorers, results with their mean over domains, and comparisons."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from turnwright.config import resolve_values
from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.errors import ConfigError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Outcome, Rewarded
from turnwright.core.score import Score
from turnwright.core.task import Task, enter_domain
from turnwright.evaluation.compare import Comparison, compare
from turnwright.evaluation.domains import DomainScorer, tasks_by_domain
from turnwright.evaluation.evaluator import score_episodes, summarise
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.scorers import FinalOutputScorer
from turnwright.evaluation.suites import Suite, build_scorer, select_tasks
from turnwright.evaluation.watch import score_metrics, with_score

OWN_SCORER = """
from turnwright.core.score import Score

class ById:
    def score(self, episode):
        return Score(success=episode.answer == episode.task.id == episode.key.task_id)
"""
SUITE = Suite(
    name="test",
    environment="mixture of a and b",
    options={"a": {"name": "desk", "options": {}}, "b": {"name": "words", "options": {}}},
    scorers={"a": "final_output", "b": "final_output"},
    attempts=2,
    resamples=500,
)


def task(domain: str, number: int) -> Task:
    label = ("x", "y")[number % 2] if domain == "a" else ("p", "q")[number % 2]
    return enter_domain(Task(id=f"t{number}", prompt="?", data={"gold": {"label": label}}, split="test"), domain)


def play(task: Task, answer: str, *, attempt: int = 0, outcome: Outcome | None = None) -> Episode:
    return Episode(
        key=EpisodeKey(task_id=task.id, attempt=attempt),
        task=task,
        opening=(),
        turns=(Turn(reply=Message(role="assistant", content=answer)),),
        outcome=outcome or Rewarded(value=1.0),
    )


def right(task: Task, attempt: int = 0) -> Episode:
    return play(task, f'<final_output>{{"label": "{task.data["gold"]["label"]}"}}</final_output>', attempt=attempt)


def wrong(task: Task, attempt: int = 0) -> Episode:
    return play(task, '<final_output>{"label": "z"}</final_output>', attempt=attempt)


A, B = [task("a", number) for number in range(4)], [task("b", number) for number in range(2)]
TASKS = [A[0], B[0], A[1], B[1], *A[2:]]


def test_each_domain_has_its_own_scorer_and_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN_SCORER)
    scorer = build_scorer(replace(SUITE, scorers={"a": "final_output", "b": f"{path}:ById"}), TASKS)
    assert scorer.score(right(A[0])).success
    # A label of the other domain is in no vocabulary here, and the other scorer reads its own ids.
    assert not scorer.score(play(A[0], '<final_output>{"label": "p"}</final_output>')).success
    assert scorer.score(play(B[0], "t0")).success
    assert not scorer.score(play(B[0], "b/t0")).success


def test_a_domain_without_a_scorer_is_left_unscored() -> None:
    scorer = DomainScorer({"a": FinalOutputScorer({"label": ("x", "y")})})
    scored, bare = with_score(right(A[0]), scorer), with_score(right(B[0]), scorer)
    assert scored.score == Score(success=True, fields={"label": True})
    assert bare.score is None
    with pytest.raises(ValueError, match=r"no scorer judges domain 'b' of episode 'b/t0#0': there are a"):
        scorer.score(right(B[0]))
    metrics = score_metrics([right(A[0]), wrong(A[1]), right(B[0])], scorer, "score", success_threshold=1.0)
    assert metrics["score/success"] == 0.5


def test_tasks_by_domain_are_those_of_their_environments() -> None:
    assert [found.id for found in tasks_by_domain(TASKS)["a"]] == ["t0", "t1", "t2", "t3"]
    assert tasks_by_domain([Task(id="t", prompt="?")]) == {}


def suite_of(**evaluation: Any) -> Suite:
    members = {"b": {"name": "words", "scorer": "m:C"}, "a": {"name": "desk", "weight": 3.0, "options": {"n": 2}}}
    values = {"environment": {"mixture": members}, "evaluation": evaluation}
    return Suite.from_config(resolve_values(values, source="test").config)


def test_suite_of_a_mixture_says_what_its_members_are() -> None:
    suite = suite_of()
    assert suite.environment == "mixture of a and b"
    assert suite.options == {"a": {"name": "desk", "options": {"n": 2}}, "b": {"name": "words", "options": {}}}
    assert suite.scorers == {"a": "final_output", "b": "m:C"}
    assert suite.judge == "a: final_output, b: m:C"
    assert SUITE.judge == "final_output"
    with pytest.raises(ConfigError, match="scores with the environment's own reward"):
        suite_of(scorer="reward")


def test_the_first_tasks_of_a_mixture_are_spread_over_its_domains() -> None:
    assert [found.domain for found in select_tasks(replace(SUITE, num_tasks=4), TASKS)] == ["a", "b", "a", "b"]


def evaluate(sampled: Sequence[Episode], greedy: Sequence[Episode] = (), checkpoint: str = "base") -> EvaluationResult:
    scorer = build_scorer(SUITE, TASKS)
    return summarise(
        SUITE,
        tasks=TASKS,
        sampled=score_episodes(sampled, scorer),
        greedy=score_episodes(greedy, scorer),
        checkpoint=checkpoint,
    )


def test_result_pools_tasks_and_averages_domains() -> None:
    # a: 4 of 4 tasks right once of two attempts; b: 1 of 2 tasks right twice.
    sampled = [*map(right, A), *(wrong(one, 1) for one in A), right(B[0]), right(B[0], 1), wrong(B[1]), wrong(B[1], 1)]
    result = evaluate(sampled, [*map(right, A), *map(wrong, B)])
    assert result.success is not None
    assert result.success.value == pytest.approx(3 / 6)
    assert (result.domains["a"].num_tasks, result.domains["b"].num_tasks) == (4, 2)
    assert (result.domains["a"].environment, result.domains["b"].environment) == ("desk", "words")
    assert [found.success.value for found in result.domains.values() if found.success] == [0.5, 0.5]
    assert result.macro_success is not None
    assert (result.macro_success.value, result.macro_success.method) == (0.5, "stratified_bootstrap")
    # In a every task has 1/2, so only b's two tasks move the mean: 0.5 * 0.5 + 0.5 * (0, 1/2 or 1).
    assert (result.macro_success.low, result.macro_success.high) == (0.25, 0.75)
    assert result.greedy_success is not None
    assert result.greedy_success.value == pytest.approx(4 / 6)
    assert result.macro_greedy_success is not None
    assert result.macro_greedy_success.value == 0.5
    assert [row.domain for row in result.tasks] == [one.domain for one in TASKS]
    assert EvaluationResult.from_json(result.to_json()) == result


def test_a_domain_that_only_failed_has_no_mean() -> None:
    lost = [play(one, "", outcome=Failed(cause="tool_error")) for one in B]
    result = evaluate([*map(right, A), *lost])
    assert result.domains["b"].success is None
    assert result.domains["b"].outcomes.failed == 1.0
    assert result.macro_success is None
    assert result.success is not None


def test_comparison_pairs_by_task_and_by_domain() -> None:
    base = evaluate([*map(wrong, A), *map(right, B)], [*map(wrong, A), *map(right, B)])
    tuned = evaluate([*map(right, A), *map(wrong, B)], [*map(right, A), *map(wrong, B)], checkpoint="tuned")
    found = compare(base, tuned)
    assert found.success.difference.value == pytest.approx((4 - 2) / 6)
    rose, fell = found.domains["a"].success, found.domains["b"].success
    assert rose is not None
    assert fell is not None
    assert (rose.base, rose.tuned, rose.num_tasks, rose.verdict) == (0.0, 1.0, 4, "better")
    assert (fell.base, fell.tuned, fell.num_tasks, fell.verdict) == (1.0, 0.0, 2, "worse")
    assert found.macro_success is not None
    assert (found.macro_success.base, found.macro_success.tuned) == (0.5, 0.5)
    assert (found.macro_success.difference.value, found.macro_success.num_tasks) == (0.0, 6)
    # The pooled gain does not hide the domain that was lost.
    assert found.warnings == (
        "domain 'b' got worse: sampled success -100.0 points, its interval wholly below 0",
        "domain 'b' got worse: greedy success -100.0 points, its interval wholly below 0",
    )
    assert '"macro_success"' in found.to_json()


def test_without_a_mixture_there_is_no_mean_over_domains() -> None:
    plain = Task(id="t0", prompt="?", data={"gold": {"label": "x"}}, split="test")
    suite = Suite(name="s", environment="desk", attempts=1, resamples=200)
    episodes = score_episodes([right(plain)], build_scorer(suite, [plain]))
    result = summarise(suite, tasks=[plain], sampled=episodes, checkpoint="base")
    assert (result.domains, result.macro_success, result.macro_greedy_success) == ({}, None, None)
    comparison: Comparison = compare(result, result)
    assert (comparison.domains, comparison.macro_success, comparison.warnings) == ({}, None, ())
