"""Evaluations and comparisons in words and columns."""

from collections.abc import Sequence

from turnwright.evaluation.compare import Comparison, Difference
from turnwright.evaluation.result import DomainResult, EvaluationResult
from turnwright.evaluation.statistics import Interval


def describe_result(result: EvaluationResult) -> str:
    """Return the numbers of an evaluation, each with its 95 % interval."""
    pass_rates = {f"pass@{rate.k}": rate.at_least_one for rate in result.pass_rates[1:] if rate.k == result.attempts}
    measures = [
        (f"success (temperature {result.temperature:g})", result.success),
        *pass_rates.items(),
        ("success (greedy)", result.greedy_success),
        ("field accuracy", result.field_accuracy),
        *((f"  {name}", interval) for name, interval in result.fields.items()),
        ("completion", result.completion),
        ("success, mean of domains", result.macro_success),
        ("success (greedy), mean of domains", result.macro_greedy_success),
        *(row for domain, own in result.domains.items() for row in _domain_measures(domain, own)),
    ]
    rows = [(label, f"{found.value:.1%}", f"{found.low:.1%} to {found.high:.1%}") for label, found in measures if found]
    return "\n".join(
        (
            f"{result.checkpoint} on {result.num_tasks} {result.split} tasks of {result.environment}, "
            f"scorer {result.scorer}",
            *_columns(("measure", "value", "95 % interval"), rows),
            *(f"warning: {warning}" for warning in result.warnings),
        )
    )


def describe_comparison(comparison: Comparison) -> str:
    """Return base, tuned and their difference for every measure, and the verdict."""
    measures = [
        ("success (sampled)", comparison.success),
        ("success (greedy)", comparison.greedy_success),
        ("field accuracy", comparison.field_accuracy),
        *((f"  {name}", difference) for name, difference in comparison.fields.items()),
        ("success (sampled), mean of domains", comparison.macro_success),
        ("success (greedy), mean of domains", comparison.macro_greedy_success),
        *((f"  {domain} (sampled)", own.success) for domain, own in comparison.domains.items()),
        *((f"  {domain} (greedy)", own.greedy_success) for domain, own in comparison.domains.items()),
    ]
    rows = [(label, *_cells(difference)) for label, difference in measures if difference]
    return "\n".join(
        (
            f"base   {comparison.base}",
            f"tuned  {comparison.tuned}",
            f"suite  {comparison.suite}, {comparison.num_tasks} tasks, scorer {comparison.scorer}",
            *_columns(("measure", "base", "tuned", "points, 95 % interval"), rows),
            *(f"warning: {warning}" for warning in comparison.warnings),
            f"verdict: {comparison.verdict}",
        )
    )


def _domain_measures(domain: str, own: DomainResult) -> tuple[tuple[str, Interval | None], ...]:
    return (
        (f"  {domain}: success, {own.num_tasks} tasks", own.success),
        (f"  {domain}: success (greedy)", own.greedy_success),
        (f"  {domain}: field accuracy", own.field_accuracy),
    )


def _cells(difference: Difference) -> tuple[str, str, str]:
    points = difference.difference
    return (
        f"{difference.base:.1%}",
        f"{difference.tuned:.1%}",
        f"{100 * points.value:+.1f}  ({100 * points.low:+.1f} to {100 * points.high:+.1f})",
    )


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
