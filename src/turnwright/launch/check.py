"""Audits an environment by name: loads its tasks for the scorer's vocabulary, then plays scripts against it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from turnwright.audit.check import check
from turnwright.audit.report import CheckReport
from turnwright.audit.splits import read_splits
from turnwright.environments.load import load_environment
from turnwright.launch.scoring import choose_scorer


def check_environment(
    environment: str,
    *,
    options: Mapping[str, Any] | None = None,
    scorer: str | None = None,
    success_threshold: float = 1.0,
    num_tasks: int = 500,
    seed: int = 0,
) -> CheckReport:
    """Audit an environment; no model is needed.

    Args:
        environment: Name, as ``load_environment`` takes it.
        options: Its options.
        scorer: Name of an independent scorer; None = the strict one where every task has a gold answer.
        success_threshold: Reward from which an episode counts as solved.
        num_tasks: Most tasks to play.
        seed: Seed of the draw of tasks and of the episodes.
    """
    splits = read_splits(load_environment(environment, options)).tasks
    tasks = [task for split in splits.values() for task in split]
    return asyncio.run(
        check(
            environment,
            options,
            scorer=choose_scorer(scorer, environment, tasks),
            scorer_by_default=scorer is None,
            success_threshold=success_threshold,
            num_tasks=num_tasks,
            seed=seed,
        )
    )
