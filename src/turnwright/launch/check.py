"""Audits an environment by name, with the scorer and the production schemas that its user names."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from turnwright.audit.check import check
from turnwright.audit.production import read_production
from turnwright.audit.report import CheckReport
from turnwright.audit.splits import read_splits
from turnwright.config import resolve
from turnwright.core.task import Task
from turnwright.environments.load import load_environment
from turnwright.evaluation.scorers import Scorer
from turnwright.launch.scoring import choose_scorer


def check_members(run_toml: Path, **settings: Any) -> dict[str, CheckReport]:
    """Audit what a run.toml learns in: its environment, or each member of its mixture.

    Args:
        run_toml: Configuration of a run.
        settings: What ``check_environment`` takes besides name and options; a member's own scorer goes first.

    Returns:
        Reports by domain; of a single environment by its name.
    """
    choice = resolve(run_toml).config.environment
    if choice.name is not None:
        return {choice.name: check_environment(choice.name, options=choice.options, **settings)}
    return {
        domain: check_environment(
            member.name, options=member.options, **{**settings, "scorer": member.scorer or settings.get("scorer")}
        )
        for domain, member in choice.mixture.items()
    }


def check_environment(
    environment: str,
    *,
    options: Mapping[str, Any] | None = None,
    scorer: str | None = None,
    success_threshold: float = 1.0,
    num_tasks: int = 500,
    seed: int = 0,
    allow_network: bool = False,
    production: Path | None = None,
    processes: int = 2,
    progress: Callable[[str], None] | None = None,
) -> CheckReport:
    """Audit an environment; no model is needed.

    Args:
        environment: Name, as ``load_environment`` takes it.
        options: Its options.
        scorer: Name of an independent scorer; None = the strict one where every task has a gold answer and solutions
            answer in its format.
        success_threshold: Reward from which an episode counts as solved.
        num_tasks: Most tasks to play.
        seed: Seed of the draw of tasks and of the episodes.
        allow_network: Let the environment reach the network; what it reaches is then a warning.
        production: File with the tools as production has them, to compare with.
        processes: Fresh processes, at most two, in which episodes are played again.
        progress: Told the name of each stage as it begins.
    """

    def by_default(tasks: Sequence[Task]) -> Scorer | None:
        return choose_scorer(None, environment, tasks)

    given: Scorer | None = None
    if scorer is not None:
        splits = read_splits(load_environment(environment, options)).tasks
        given = choose_scorer(scorer, environment, [task for tasks in splits.values() for task in tasks])
    return asyncio.run(
        check(
            environment,
            options,
            scorer=given,
            default_scorer=by_default,
            success_threshold=success_threshold,
            num_tasks=num_tasks,
            seed=seed,
            allow_network=allow_network,
            production=None if production is None else read_production(production),
            processes=processes,
            progress=progress,
        )
    )
