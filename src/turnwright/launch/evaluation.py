"""Evaluates a checkpoint from disk in this process: a player of its own, a scorer of its own, nothing of a learner."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from turnwright.core.episode import Episode
from turnwright.core.group import Attempt
from turnwright.evaluation.evaluator import AttemptRequest, Evaluation, evaluate
from turnwright.evaluation.store import write_evaluation
from turnwright.evaluation.suites import Suite, select_tasks
from turnwright.launch.assignment import Assignment
from turnwright.launch.player import build_player, load_tasks, play_attempts


def run_evaluation(
    assignment: Assignment, *, on_attempt: Callable[[int, int], None] = lambda done, total: None
) -> Evaluation:
    """Play the suite with the checkpoint, score it, and write the result with its episodes.

    ``on_attempt`` is told after each attempt how many of how many are done.
    """
    evaluation = asyncio.run(_evaluate(assignment, on_attempt))
    write_evaluation(assignment.folder, evaluation)
    return evaluation


async def _evaluate(assignment: Assignment, on_attempt: Callable[[int, int], None]) -> Evaluation:
    config = assignment.config
    suite = Suite.from_config(config)
    player = build_player(config, model=assignment.checkpoint)
    try:
        tasks = load_tasks(player.prototype, suite.split)
        total = len(select_tasks(suite, tasks)) * (suite.attempts + suite.greedy)
        done = 0

        def count(attempt: Attempt) -> None:
            nonlocal done
            done += 1
            on_attempt(done, total)

        async def collect(request: AttemptRequest) -> Sequence[Episode]:
            attempts = await play_attempts(
                player,
                request.tasks,
                config,
                attempts=request.attempts,
                temperature=request.temperature,
                seed=request.seed,
                on_attempt=count,
            )
            return [attempt.episode for attempt in attempts]

        return await evaluate(
            Path(assignment.checkpoint), suite, split_tasks=tasks, collect=collect, step=assignment.step
        )
    finally:
        await player.engine.close()
