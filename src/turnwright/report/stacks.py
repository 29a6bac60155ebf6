"""Where the time goes: one bar per step, its seconds stacked by what they were spent on, as inline SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from turnwright.core.timeline import time_shares
from turnwright.report.charts import nice_ticks

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 34
MAX_BARS = 60
"""More steps than these share bars, as means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One part of every bar."""

    label: str
    states: tuple[str, ...]
    """States of the timeline that it stands for."""
    colour: str


LAYERS = (
    Layer(label="training", states=("training", "weight_update"), colour="var(--series-0)"),
    Layer(label="generation", states=("rollout", "generation"), colour="var(--series-2)"),
    Layer(label="tools", states=("tools",), colour="var(--series-1)"),
    Layer(label="waiting", states=("waiting",), colour="var(--series-3)"),
    Layer(label="the rest", states=("evaluation", "checkpoint", "other"), colour="var(--soft)"),
)
"""From the bottom of a bar to its top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The mean step of one or several in a row."""

    first: int
    last: int
    seconds: Mapping[str, float]
    """Per layer, those without any left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeChart:
    """Bars over steps."""

    title: str
    note: str
    bars: tuple[Bar, ...]


def time_chart(metrics: Sequence[Mapping[str, float]]) -> TimeChart | None:
    """Return the bars of a run's steps; None where no step says how long it took."""
    steps = [(int(values["step"]), _seconds(values)) for values in metrics if values["step"] > 0]
    steps = [(step, seconds) for step, seconds in steps if seconds]
    if not steps:
        return None
    size = -(-len(steps) // MAX_BARS)
    bars = tuple(_mean(steps[start : start + size]) for start in range(0, len(steps), size))
    each = f" Each bar is the mean of {size} steps." if size > 1 else ""
    note = (
        "Wall seconds, each counted once. While the learner trains nothing else counts; tools = episodes are in "
        f"flight and the engine has nothing to do; the rest = evaluation, saving and what has no name.{each}"
    )
    return TimeChart(title="Where the time goes", note=note, bars=bars)


def draw_time(chart: TimeChart) -> str:
    """Return the chart as an SVG element."""
    highest = nice_ticks(0.0, max(sum(bar.seconds.values()) for bar in chart.bars), 4)
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    width = (WIDTH - LEFT - RIGHT) / len(chart.bars)
    parts: list[str] = []
    for tick in highest:
        y = floor - tick / highest[-1] * room
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="gridline"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:.6g}</text>')
    for index, bar in enumerate(chart.bars):
        top = float(floor)
        for layer in LAYERS:
            if seconds := bar.seconds.get(layer.label):
                height = seconds / highest[-1] * room
                top -= height
                parts.append(
                    f'<rect x="{LEFT + index * width + 0.08 * width:.2f}" y="{top:.2f}" width="{0.84 * width:.2f}" '
                    f'height="{height:.2f}" fill="{layer.colour}"><title>{escape(_in_words(bar, layer))}</title></rect>'
                )
    for index in sorted({0, len(chart.bars) // 2, len(chart.bars) - 1}):
        middle = LEFT + (index + 0.5) * width
        parts.append(f'<text x="{middle:.1f}" y="{floor + 18}" text-anchor="middle">{chart.bars[index].first}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">step</text>')
    parts.append(_legend(chart))
    label = escape(f"{chart.title}. {_summary(chart)}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _seconds(values: Mapping[str, float]) -> dict[str, float]:
    shares = time_shares(values)
    seconds = {
        layer.label: sum(shares.get(state, 0.0) for state in layer.states) * values["timing_s/step"]
        for layer in LAYERS
        if shares
    }
    return {label: value for label, value in seconds.items() if value > 0}


def _mean(steps: Sequence[tuple[int, Mapping[str, float]]]) -> Bar:
    labels = dict.fromkeys(label for _, seconds in steps for label in seconds)
    mean = {label: sum(seconds.get(label, 0.0) for _, seconds in steps) / len(steps) for label in labels}
    return Bar(first=steps[0][0], last=steps[-1][0], seconds=mean)


def _shown(chart: TimeChart) -> list[Layer]:
    return [layer for layer in LAYERS if any(layer.label in bar.seconds for bar in chart.bars)]


def _legend(chart: TimeChart) -> str:
    parts: list[str] = []
    left = LEFT
    for layer in _shown(chart):
        parts.append(f'<rect x="{left}" y="7" width="10" height="10" fill="{layer.colour}"/>')
        parts.append(f'<text x="{left + 14}" y="16" text-anchor="start">{escape(layer.label)}</text>')
        left += 28 + 6 * len(layer.label)
    return "".join(parts)


def _in_words(bar: Bar, layer: Layer) -> str:
    steps = f"step {bar.first}" if bar.first == bar.last else f"steps {bar.first} to {bar.last}"
    return f"{layer.label}: {bar.seconds[layer.label]:.3g} s of {sum(bar.seconds.values()):.3g} s, {steps}"


def _summary(chart: TimeChart) -> str:
    whole = sum(sum(bar.seconds.values()) for bar in chart.bars)
    shares = ((layer.label, sum(bar.seconds.get(layer.label, 0.0) for bar in chart.bars)) for layer in _shown(chart))
    return "; ".join(f"{label}: {seconds / whole:.0%}" for label, seconds in shares)
