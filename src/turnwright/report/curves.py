"""Which curves the report draws, and from which metrics."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from turnwright.evaluation.statistics import Interval
from turnwright.report.charts import Chart, Point, Series, extent
from turnwright.report.material import Material, StepEpisodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A chart of plain metrics, one line per metric."""

    title: str
    note: str
    lines: tuple[tuple[str, str], ...]
    """Label and metric name."""
    is_share: bool = False
    reference: float | None = None
    hides_zeros: bool = False
    """Not drawn where every value is 0."""


CURVES = (
    Curve(
        title="How episodes end",
        note="Share of the step's attempts. Failed ones are never trained and never count as reward 0.",
        lines=(
            ("rewarded", "rollout/outcome/rewarded_frac"),
            ("truncated", "rollout/outcome/truncated_frac"),
            ("failed", "rollout/outcome/failed_frac"),
        ),
        is_share=True,
    ),
    Curve(
        title="Score against reward in training",
        note="Share of the step's episodes that the independent scorer calls solved, and that only the reward does.",
        lines=(("solved", "score/success"), ("reward only", "score/disagreement/reward_only")),
        is_share=True,
    ),
    Curve(
        title="Response length",
        note="Sampled tokens per attempt, mean.",
        lines=(("tokens", "rollout/tokens/response_mean"),),
    ),
    Curve(title="Turns", note="Model calls per attempt, mean.", lines=(("turns", "rollout/turns/mean"),)),
    Curve(
        title="Entropy",
        note="Nats per sampled token. A fall to 0 ends exploration.",
        lines=(("entropy", "training/entropy"),),
    ),
    Curve(
        title="Distance from the sampler",
        note="Estimated KL, nats per token; near 0 while training is on policy.",
        lines=(("KL to sampler", "training/kl_to_sampler"), ("KL to reference", "training/kl_to_reference")),
    ),
    Curve(
        title="Importance ratio",
        note="Ratio of the trained to the sampling policy over trained tokens; the thin line is 1.",
        lines=(
            ("mean", "training/ratio/mean"),
            ("max", "training/ratio/max"),
            ("min", "training/ratio/min"),
        ),
        reference=1.0,
    ),
    Curve(
        title="Engine against learner",
        note="Absolute difference of the log-probabilities both give to the same tokens, nats. It should be rounding.",
        lines=(("mean", "training/sampler_logprob_gap/mean"), ("max", "training/sampler_logprob_gap/max")),
    ),
    Curve(
        title="Clipped tokens",
        note="Share of trained tokens whose ratio is clipped.",
        lines=(("clipped", "training/clip_fraction"),),
    ),
    Curve(title="Gradient norm", note="Before clipping.", lines=(("norm", "training/grad_norm"),)),
    Curve(
        title="Groups with a signal",
        note="Groups whose attempts differ in reward, per step.",
        lines=(("live groups", "analysis/live_groups"),),
    ),
    Curve(
        title="Tools and answers",
        note="Share of tool calls answered with an error, share malformed, and share of attempts with an answer.",
        lines=(
            ("tool errors", "rollout/tools/error_frac"),
            ("malformed", "rollout/tools/malformed_frac"),
            ("completed", "rollout/completion_frac"),
        ),
        is_share=True,
    ),
    Curve(
        title="Age of trained tokens",
        note="Steps between the version that sampled a token and the step that trains it.",
        lines=(("mean", "training/staleness/mean"), ("max", "training/staleness/max")),
        hides_zeros=True,
    ),
    Curve(
        title="Thrown away",
        note="Share of all finished tokens so far whose groups grew too old to be trained.",
        lines=(("wasted", "rollout/wasted_frac"),),
        hides_zeros=True,
    ),
)


def draw_curves(material: Material) -> tuple[Chart, ...]:
    """Return the charts that have at least one number."""
    curves = [curve for curve in CURVES if not curve.hides_zeros or _is_nonzero(curve, material.metrics)]
    charts = [*_outcome_charts(material), *(_chart(curve, material.metrics) for curve in curves)]
    return tuple(chart for chart in charts if any(series.finite for series in chart.series))


def draw_domains(material: Material) -> tuple[Chart, ...]:
    """Return one small chart per domain of a mixture, reward and score on one axis for all; none outside a mixture."""
    domains = sorted({domain for step in (*material.rollouts, *material.validations) for domain in step.domains})
    drawn = {domain: _domain_series(material, domain) for domain in domains}
    points = [point for series in drawn.values() for one in series for point in one.finite]
    if not points:
        return ()
    shared = extent(points)
    return tuple(
        Chart(title=domain, note=_groups_note(material, domain), series=series, extent=shared)
        for domain, series in drawn.items()
        if series
    )


def _domain_series(material: Material, domain: str) -> tuple[Series, ...]:
    def of_domain(steps: Sequence[StepEpisodes]) -> list[StepEpisodes]:
        return [step.domains[domain] for step in steps if domain in step.domains]

    trained, validated = of_domain(material.rollouts), of_domain(material.validations)
    series = (
        _interval_series("reward", trained, lambda step: step.reward),
        _interval_series("val reward", validated, lambda step: step.reward),
        _interval_series("val score", validated, lambda step: step.success),
    )
    return tuple(one for one in series if one.finite)


def _groups_note(material: Material, domain: str) -> str:
    groups = [record.get(f"{domain}/rollout/groups", 0.0) for record in material.metrics]
    total = sum(record.get("training/num_groups", 0.0) for record in material.metrics)
    return f"{sum(groups):,.0f} of {total:,.0f} groups trained on." if total else ""


def _outcome_charts(material: Material) -> Iterator[Chart]:
    band = "The band is the 95 % interval with the task as the unit."
    yield Chart(
        title="Success on validation tasks",
        note=f"Share solved by the independent scorer. {band}",
        series=(_interval_series("success", material.validations, lambda step: step.success),),
        is_share=True,
    )
    yield Chart(
        title="Reward in training",
        note=f"Mean reward of the step's attempts. {band}",
        series=(_interval_series("reward", material.rollouts, lambda step: step.reward),),
    )
    yield Chart(
        title="Reward on validation tasks",
        note=f"Mean reward of validation episodes. {band}",
        series=(_interval_series("reward", material.validations, lambda step: step.reward),),
    )


def _interval_series(
    label: str, steps: Sequence[StepEpisodes], choose: Callable[[StepEpisodes], Interval | None]
) -> Series:
    points = [
        Point(step=step.step, value=interval.value, low=interval.low, high=interval.high)
        for step in steps
        if (interval := choose(step)) is not None
    ]
    return Series(label=label, points=tuple(points))


def _is_nonzero(curve: Curve, metrics: Sequence[dict[str, float]]) -> bool:
    return any(record.get(name) for record in metrics for _, name in curve.lines)


def _chart(curve: Curve, metrics: Sequence[dict[str, float]]) -> Chart:
    series = tuple(
        Series(
            label=label,
            points=tuple(Point(step=record["step"], value=record[name]) for record in metrics if name in record),
        )
        for label, name in curve.lines
    )
    return Chart(
        title=curve.title,
        note=curve.note,
        series=tuple(one for one in series if one.finite),
        is_share=curve.is_share,
        reference=curve.reference,
    )
