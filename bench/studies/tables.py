"""Evaluations of several seeds as rows of a table."""

from collections.abc import Callable, Mapping, Sequence

from turnwright import TurnwrightError
from turnwright.evaluation.result import EvaluationResult, TaskResult
from turnwright.evaluation.statistics import Interval


def sampled(task: TaskResult) -> float | None:
    """Return the share of a task's attempts that succeeded."""
    return task.successes / task.attempts if task.attempts else None


def greedy(task: TaskResult) -> float | None:
    """Return whether a task's greedy attempt succeeded."""
    return None if task.greedy is None else float(task.greedy)


def by_task(
    results: Sequence[EvaluationResult], measure: Callable[[TaskResult], float | None]
) -> dict[str, list[float]]:
    """Return the values of each task in evaluations of the same tasks, for paired differences over tasks."""
    values: dict[str, list[float]] = {task.task_id: [] for task in results[0].tasks}
    for result in results:
        for task in result.tasks:
            if (value := measure(task)) is not None:
                values[task.task_id].append(value)
    return values


def share(found: Interval | None) -> float:
    """Return the value of an interval that must be there."""
    if found is None:
        raise TurnwrightError("an evaluation has no scored attempt: see its result.json")
    return found.value


def of_seeds(after: Mapping[int, float], seeds: Sequence[int]) -> list[str]:
    """Return a cell per seed."""
    return [f"{100 * after[seed]:.1f} %" if seed in after else "failed" for seed in seeds]


def points(interval: Interval) -> str:
    """Return a difference of shares in percentage points."""
    return f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))
