"""Compare two evaluations of the same tasks: the paired difference, with an interval and a verdict."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from pydantic import TypeAdapter

from turnwright.core.errors import ConfigError
from turnwright.evaluation.result import EvaluationResult, TaskResult
from turnwright.evaluation.statistics import RESAMPLES, Interval, paired_difference, stratified_bootstrap

Verdict = Literal["better", "same", "worse"]

Measure = Callable[[TaskResult], float | None]
Pairs = dict[str, tuple[float, float]]
"""Base and tuned by task."""

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
class DomainDifference:
    """One domain of a mixture, paired by its own tasks."""

    success: Difference | None
    greedy_success: Difference | None
    field_accuracy: Difference | None


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
    domains: Mapping[str, DomainDifference] = field(default_factory=dict)
    """Of a mixture: each domain by itself. The differences above pool the tasks of all (micro)."""
    macro_success: Difference | None = None
    """Mean of the domains' success, each counting the same; None outside a mixture."""
    macro_greedy_success: Difference | None = None

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

    def difference(measure: Measure, domain: str | None = None) -> Difference | None:
        return _difference(_values(base, tuned, measure, domain), resamples=resamples, seed=seed)

    def macro(measure: Measure) -> Difference | None:
        strata = [_values(base, tuned, measure, domain) for domain in base.domains]
        return _mean_difference(strata, resamples=resamples, seed=seed)

    success = difference(_success)
    if success is None:
        raise ConfigError(
            f"no task of suite {base.suite!r} has a scored attempt in both {base.checkpoint!r} and "
            f"{tuned.checkpoint!r}: there is nothing to compare; look at their warnings and evaluate again"
        )
    greedy = difference(_greedy)
    fields = {name: difference(lambda task, name=name: task.fields.get(name)) for name in base.fields}
    domains = {
        domain: DomainDifference(
            success=difference(_success, domain),
            greedy_success=difference(_greedy, domain),
            field_accuracy=difference(_field_accuracy, domain),
        )
        for domain in base.domains
    }
    return Comparison(
        base=base.checkpoint,
        tuned=tuned.checkpoint,
        suite=tuned.suite,
        scorer=tuned.scorer,
        reward_is_scorer=tuned.reward_is_scorer,
        num_tasks=tuned.num_tasks,
        success=success,
        greedy_success=greedy,
        field_accuracy=difference(_field_accuracy),
        fields={name: found for name, found in fields.items() if found},
        verdict=_verdict(success, greedy),
        warnings=(
            *(f"base: {text}" for text in base.warnings),
            *(f"tuned: {text}" for text in tuned.warnings),
            *_domain_warnings(domains),
        ),
        domains=domains,
        macro_success=macro(_success),
        macro_greedy_success=macro(_greedy),
    )


def _check_comparable(base: EvaluationResult, tuned: EvaluationResult) -> None:
    for name in MUST_AGREE:
        ours, theirs = getattr(base, name), getattr(tuned, name)
        if ours != theirs:
            raise ConfigError(
                f"cannot compare {base.checkpoint!r} with {tuned.checkpoint!r}: {name} is {ours!r} in the first and "
                f"{theirs!r} in the second; evaluate both on the same suite"
            )


def _success(task: TaskResult) -> float | None:
    return task.successes / task.attempts if task.attempts else None


def _greedy(task: TaskResult) -> float | None:
    return None if task.greedy is None else float(task.greedy)


def _field_accuracy(task: TaskResult) -> float | None:
    return task.field_accuracy


def _values(base: EvaluationResult, tuned: EvaluationResult, measure: Measure, domain: str | None) -> Pairs:
    """Return a measure on both sides by task, where both have it; of one domain or of all tasks."""
    tuned_tasks = {task.task_id: task for task in tuned.tasks}
    pairs: Pairs = {}
    for task in base.tasks:
        first, second = measure(task), measure(tuned_tasks[task.task_id])
        if first is not None and second is not None and domain in (None, task.domain):
            pairs[task.task_id] = (first, second)
    return pairs


def _difference(pairs: Pairs, *, resamples: int, seed: int) -> Difference | None:
    if not pairs:
        return None
    base = {task: [first] for task, (first, _) in pairs.items()}
    tuned = {task: [second] for task, (_, second) in pairs.items()}
    return Difference(
        base=fmean(first for first, _ in pairs.values()),
        tuned=fmean(second for _, second in pairs.values()),
        difference=paired_difference(base, tuned, resamples=resamples, seed=seed),
        num_tasks=len(pairs),
    )


def _mean_difference(strata: Sequence[Pairs], *, resamples: int, seed: int) -> Difference | None:
    """Return the mean over domains of their differences; None when one of them has no pair."""
    if not strata or not all(strata):
        return None
    differences = [{task: [second - first] for task, (first, second) in pairs.items()} for pairs in strata]
    return Difference(
        base=fmean(fmean(first for first, _ in pairs.values()) for pairs in strata),
        tuned=fmean(fmean(second for _, second in pairs.values()) for pairs in strata),
        difference=stratified_bootstrap(differences, resamples=resamples, seed=seed),
        num_tasks=sum(map(len, strata)),
    )


def _domain_warnings(domains: Mapping[str, DomainDifference]) -> Iterator[str]:
    """Name the domains that fell: a mean over all tasks can rise above the fall of one."""
    for domain, found in domains.items():
        for kind, one in (("sampled", found.success), ("greedy", found.greedy_success)):
            if one is not None and one.verdict == "worse":
                points = 100 * one.difference.value
                yield f"domain {domain!r} got worse: {kind} success {points:+.1f} points, its interval wholly below 0"


def _verdict(success: Difference, greedy: Difference | None) -> Verdict:
    if success.verdict == "worse" or (greedy is not None and greedy.verdict == "worse"):
        return "worse"
    return success.verdict


COMPARISON_ADAPTER = TypeAdapter(Comparison)
