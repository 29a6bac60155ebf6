"""Which independent scorer judges episodes outside a run, where no [evaluation] section names one."""

from collections.abc import Sequence

from turnwright.config import RunConfig
from turnwright.core.errors import DatasetError
from turnwright.core.task import Task
from turnwright.evaluation.domains import DomainScorer, tasks_by_domain
from turnwright.evaluation.scorers import Scorer, read_gold
from turnwright.evaluation.suites import FINAL_OUTPUT, Suite, build_scorer


def configured_scorer(config: RunConfig, tasks: Sequence[Task]) -> Scorer | None:
    """Return the scorer for a run's episodes; of a mixture each domain's own, chosen by its name and tasks alone."""
    named, choice = config.evaluation.scorer, config.environment
    if not choice.mixture:
        return choose_scorer(named, choice.title, tasks)
    own = tasks_by_domain(tasks)
    chosen = {
        domain: choose_scorer(member.scorer or named, member.name, own.get(domain, ()))
        for domain, member in choice.mixture.items()
    }
    found = {domain: scorer for domain, scorer in chosen.items() if scorer is not None}
    return DomainScorer(found) if found else None


def choose_scorer(name: str | None, environment: str, tasks: Sequence[Task]) -> Scorer | None:
    """Return the scorer called ``name``; without a name the strict one where every task has a gold answer, else None.

    Raises what ``build_scorer`` raises for a name.
    """
    if name is None and not (tasks and all(map(_has_gold, tasks))):
        return None
    return build_scorer(Suite(name="tasks", environment=environment, scorer=name or FINAL_OUTPUT), tasks)


def _has_gold(task: Task) -> bool:
    try:
        read_gold(task)
    except DatasetError:
        return False
    return True
