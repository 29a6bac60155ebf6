"""Rows of the table that puts base and tuned side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from turnwright.evaluation.compare import Difference
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.statistics import Interval
from turnwright.report.charts import Bar
from turnwright.report.material import SuiteEvaluations
from turnwright.report.verdict import percent

MISSING = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One measure; cells are text."""

    label: str
    base: str
    tuned: str
    difference: str = ""
    tone: str = "same"
    """Verdict of the difference."""


def comparison_rows(suite: SuiteEvaluations) -> tuple[TableRow, ...]:
    """Return every measure of the suite; the base's column is empty when only one checkpoint was evaluated."""
    return tuple(_rows(suite))


def interval_bars(suite: SuiteEvaluations) -> tuple[Bar, ...]:
    """Return the main shares of base and tuned, for the chart beside the verdict."""
    measures = (
        ("sampled success", lambda result: result.success),
        ("greedy success", lambda result: result.greedy_success),
        ("field accuracy", lambda result: result.field_accuracy),
    )
    domains = tuple((domain, _success_in(domain)) for domain in suite.tuned.domains)
    bars: list[Bar] = []
    for label, measure in (*measures, *domains):
        for index, side, result in ((1, "base", suite.base), (0, "tuned", suite.tuned)):
            found = measure(result) if result else None
            if found:
                bars.append(
                    Bar(label=f"{label}, {side}", series=index, value=found.value, low=found.low, high=found.high)
                )
    return tuple(bars)


def _success_in(domain: str) -> Callable[[EvaluationResult], Interval | None]:
    return lambda result: result.domains[domain].success if domain in result.domains else None


def greedy_flips(suite: SuiteEvaluations) -> tuple[int, int] | None:
    """Return how many tasks the greedy attempt gained and lost from base to tuned; None without greedy attempts."""
    if suite.base is None or suite.comparison is None:
        return None
    tuned = {task.task_id: task.greedy for task in suite.tuned.tasks}
    pairs = [(task.greedy, tuned[task.task_id]) for task in suite.base.tasks]
    known = [(before, after) for before, after in pairs if before is not None and after is not None]
    return (known.count((False, True)), known.count((True, False))) if known else None


def _rows(suite: SuiteEvaluations) -> Iterator[TableRow]:
    base, tuned, found = suite.base, suite.tuned, suite.comparison
    yield _share_row("Success, sampled (pass@1)", base and base.success, tuned.success, found and found.success)
    greedy = found.greedy_success if found else None
    yield _share_row("Success, greedy", base and base.greedy_success, tuned.greedy_success, greedy)
    yield from _domain_rows(suite)
    base_rates = {rate.k: rate for rate in base.pass_rates} if base else {}
    for rate in tuned.pass_rates:
        if rate.k > 1 and rate.k == tuned.attempts:
            before = base_rates.get(rate.k)
            yield _share_row(
                f"At least one of {rate.k} (pass@{rate.k})", before and before.at_least_one, rate.at_least_one
            )
            yield _share_row(f"All of {rate.k} (pass^{rate.k})", before and before.all, rate.all)
    accuracy = found.field_accuracy if found else None
    yield _share_row("Field accuracy", base and base.field_accuracy, tuned.field_accuracy, accuracy)
    for name, interval in tuned.fields.items():
        before = base.fields.get(name) if base else None
        yield _share_row(f"Field {name}", before, interval, found.fields.get(name) if found else None)
    yield _share_row("Completed: readable answer", base and base.completion, tuned.completion)
    yield _number_row("Turns per attempt", base and base.turns_mean, tuned.turns_mean)
    yield _number_row("Reward, mean", _value(base and base.reward), _value(tuned.reward))
    yield TableRow(
        label="Tool calls answered with an error",
        base=_plain_share(base.tool_error_fraction) if base else "",
        tuned=_plain_share(tuned.tool_error_fraction),
    )
    yield TableRow(label="Attempts truncated / failed", base=_outcomes(base), tuned=_outcomes(tuned))
    yield from _sop_rows(suite)


def _sop_rows(suite: SuiteEvaluations) -> Iterator[TableRow]:
    """Yield what the original SOP-Bench would have measured, for comparison with published numbers only."""
    before = suite.base_sop.shares if suite.base_sop else {}
    for name, share in (suite.tuned_sop.shares if suite.tuned_sop else {}).items():
        base = before.get(name)
        yield TableRow(
            label=f"SOP-Bench, {name}",
            base="" if base is None else percent(base),
            tuned=MISSING if share is None else percent(share),
        )


def _domain_rows(suite: SuiteEvaluations) -> Iterator[TableRow]:
    """Yield the mean over the domains of a mixture, then each domain."""
    base, tuned, found = suite.base, suite.tuned, suite.comparison
    if not tuned.domains:
        return
    macro = found.macro_success if found else None
    yield _share_row("Success, sampled, mean of domains", base and base.macro_success, tuned.macro_success, macro)
    macro = found.macro_greedy_success if found else None
    before = base and base.macro_greedy_success
    yield _share_row("Success, greedy, mean of domains", before, tuned.macro_greedy_success, macro)
    for domain, own in tuned.domains.items():
        earlier = base.domains.get(domain) if base else None
        moved = found.domains.get(domain) if found else None
        sampled, greedy = (moved.success, moved.greedy_success) if moved else (None, None)
        label = f"{domain} ({own.num_tasks} tasks)"
        yield _share_row(f"{label}, sampled", earlier and earlier.success, own.success, sampled)
        yield _share_row(f"{label}, greedy", earlier and earlier.greedy_success, own.greedy_success, greedy)


def _share_row(label: str, base: Interval | None, tuned: Interval | None, found: Difference | None = None) -> TableRow:
    difference = ""
    if found:
        interval = found.difference
        difference = f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
    return TableRow(
        label=label,
        base=_interval(base),
        tuned=_interval(tuned),
        difference=difference,
        tone=found.verdict if found else "same",
    )


def _number_row(label: str, base: float | None, tuned: float | None) -> TableRow:
    return TableRow(
        label=label,
        base="" if base is None else f"{base:.3g}",
        tuned=MISSING if tuned is None else f"{tuned:.3g}",
        difference="" if base is None or tuned is None else f"{tuned - base:+.3g}",
    )


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return MISSING
    return f"{percent(interval.value)} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _value(interval: Interval | None) -> float | None:
    return interval.value if interval else None


def _plain_share(share: float | None) -> str:
    return "no calls" if share is None else percent(share)


def _outcomes(result: EvaluationResult | None) -> str:
    return f"{percent(result.outcomes.truncated)} / {percent(result.outcomes.failed)}" if result else ""
