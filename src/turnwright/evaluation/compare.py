"""Compare two evaluations of the same tasks: the paired difference, with an interval and a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from turnwright.core.errors import ConfigError
from turnwright.evaluation.result import EvaluationResult, TaskResult
from turnwright.evaluation.statistics import RESAMPLES, Interval, paired_difference

Verdict = Literal["better", "same", "worse"]

EXIT_REGRESSION = 4
"""Exit code of ``turnwright compare`` when the verdict is "worse"."""

MUST_AGREE = ("environment", "options", "split", "scorer", "temperature", "tasks_hash")
"""What two results must share for their difference to be about the checkpoints alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One measure on both sides, over the tasks that both scored, and tuned minus base paired by task."""

    base: float
    tuned: float
    difference: Interval
    num_tasks: int

    @property
    def verdict(self) -> Verdict:
        """Whether the interval lies wholly on one side of 0."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What changed from base to tuned; None where a side did not measure it."""

    base: str
    """Checkpoint."""
    tuned: str
    """Checkpoint."""
    suite: str
    scorer: str
    reward_is_scorer: bool
    num_tasks: int
    success: Difference
    """One attempt at the suite's temperature."""
    greedy_success: Difference | None
    field_accuracy: Difference | None
    fields: Mapping[str, Difference]
    """Accuracy per output field, sampled attempts."""
    verdict: Verdict
    """"worse": sampled or greedy success fell; "better": sampled success rose and greedy did not fall."""
    warnings: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0, or 4 when the verdict is "worse"."""
        return EXIT_REGRESSION if self.verdict == "worse" else 0

    def to_json(self) -> str:
        """Return the comparison as one indented JSON object (schemas/comparison.json)."""
        return COMPARISON_ADAPTER.dump_json(self, indent=2).decode() + "\n"


def compare(
    base: EvaluationResult, tuned: EvaluationResult, *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Return the paired comparison of two results on the same tasks.

    Raises:
        ConfigError: the results differ in more than the checkpoint, or no task was scored on both sides.
    """
    _check_comparable(base, tuned)

    def difference(measure: Callable[[TaskResult], float | None]) -> Difference | None:
        return _difference(base, tuned, measure, resamples=resamples, seed=seed)

    success = difference(lambda task: task.successes / task.attempts if task.attempts else None)
    if success is None:
        raise ConfigError(
            f"no task of suite {base.suite!r} has a scored attempt in both {base.checkpoint!r} and "
            f"{tuned.checkpoint!r}: there is nothing to compare; look at their warnings and evaluate again"
        )
    greedy = difference(lambda task: None if task.greedy is None else float(task.greedy))
    fields = {name: difference(lambda task, name=name: task.fields.get(name)) for name in base.fields}
    return Comparison(
        base=base.checkpoint,
        tuned=tuned.checkpoint,
        suite=tuned.suite,
        scorer=tuned.scorer,
        reward_is_scorer=tuned.reward_is_scorer,
        num_tasks=tuned.num_tasks,
        success=success,
        greedy_success=greedy,
        field_accuracy=difference(lambda task: task.field_accuracy),
        fields={name: found for name, found in fields.items() if found},
        verdict=_verdict(success, greedy),
        warnings=(*(f"base: {text}" for text in base.warnings), *(f"tuned: {text}" for text in tuned.warnings)),
    )


def _check_comparable(base: EvaluationResult, tuned: EvaluationResult) -> None:
    for name in MUST_AGREE:
        ours, theirs = getattr(base, name), getattr(tuned, name)
        if ours != theirs:
            raise ConfigError(
                f"cannot compare {base.checkpoint!r} with {tuned.checkpoint!r}: {name} is {ours!r} in the first and "
                f"{theirs!r} in the second; evaluate both on the same suite"
            )


def _difference(
    base: EvaluationResult,
    tuned: EvaluationResult,
    measure: Callable[[TaskResult], float | None],
    *,
    resamples: int,
    seed: int,
) -> Difference | None:
    tuned_tasks = {task.task_id: task for task in tuned.tasks}
    base_values: dict[str, list[float]] = {}
    tuned_values: dict[str, list[float]] = {}
    for task in base.tasks:
        first, second = measure(task), measure(tuned_tasks[task.task_id])
        if first is not None and second is not None:
            base_values[task.task_id], tuned_values[task.task_id] = [first], [second]
    if not base_values:
        return None
    return Difference(
        base=sum(values[0] for values in base_values.values()) / len(base_values),
        tuned=sum(values[0] for values in tuned_values.values()) / len(tuned_values),
        difference=paired_difference(base_values, tuned_values, resamples=resamples, seed=seed),
        num_tasks=len(base_values),
    )


def _verdict(success: Difference, greedy: Difference | None) -> Verdict:
    if success.verdict == "worse" or (greedy is not None and greedy.verdict == "worse"):
        return "worse"
    return success.verdict


COMPARISON_ADAPTER = TypeAdapter(Comparison)
