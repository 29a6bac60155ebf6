"""Which independent scorer judges episodes outside a run, where no [evaluation] section names one."""

from collections.abc import Sequence

from turnwright.core.errors import DatasetError
from turnwright.core.task import Task
from turnwright.evaluation.scorers import Scorer, read_gold
from turnwright.evaluation.suites import FINAL_OUTPUT, Suite, build_scorer


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
