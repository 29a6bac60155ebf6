"""The whole path on a real environment, with scripted policies in place of checkpoints: play, score, compare, store."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from turnwright.core.episode import Episode
from turnwright.core.errors import RunDirectoryError
from turnwright.environments import load_environment
from turnwright.evaluation.compare import compare
from turnwright.evaluation.evaluator import AttemptRequest, Evaluation, evaluate
from turnwright.evaluation.store import GREEDY, read_episodes, read_result, write_evaluation
from turnwright.evaluation.suites import Suite
from turnwright.rollout.demonstrations import run_script

SUITE = Suite(name="desk", environment="returns_desk", num_tasks=60, attempts=3, seed=5)
PROTOTYPE = load_environment("returns_desk", {"train_tasks": 120, "validation_tasks": 120, "test_tasks": 120})


def evaluate_script(name: str) -> Evaluation:
    async def collect(request: AttemptRequest) -> Sequence[Episode]:
        return [
            await run_script(PROTOTYPE, task, name, seed=request.seed + attempt, attempt=attempt)
            for task in request.tasks
            for attempt in range(request.attempts)
        ]

    return asyncio.run(evaluate(Path(name), SUITE, split_tasks=PROTOTYPE.tasks("test"), collect=collect))


@pytest.mark.slow
def test_expert_is_proven_better_than_the_clerk(tmp_path: Path) -> None:
    clerk, expert = evaluate_script("hasty_clerk"), evaluate_script("oracle")
    assert expert.result.success is not None
    assert clerk.result.success is not None
    assert expert.result.success.value == 1.0
    assert expert.result.success.low < 1.0
    assert 0.0 < clerk.result.success.value < 0.7
    assert set(clerk.result.fields) == {"action", "postage", "queue"}
    comparison = compare(clerk.result, expert.result)
    assert comparison.verdict == "better"
    assert comparison.success.difference.low > 0.25


def test_reward_and_scorer_agree_on_whole_tasks() -> None:
    for episode in evaluate_script("hasty_clerk").sampled:
        assert episode.score is not None
        assert episode.outcome.kind == "rewarded"
        assert episode.score.success == (episode.outcome.value == 1.0)


def test_evaluation_survives_the_disk(tmp_path: Path) -> None:
    clerk = evaluate_script("hasty_clerk")
    write_evaluation(tmp_path / "base", clerk)
    assert read_result(tmp_path / "base") == clerk.result
    assert tuple(read_episodes(tmp_path / "base")) == clerk.sampled
    assert tuple(read_episodes(tmp_path / "base", GREEDY)) == clerk.greedy


def test_folder_without_an_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"result\.json"):
        read_result(tmp_path)
