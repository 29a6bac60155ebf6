"""Charts as inline SVG, coloured by the page's CSS variables so that they follow its light or dark theme.

Series differ by colour and by dash, so that colour alone never carries meaning; a description says the numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 34
DASHES = ("", "7 4", "2 4", "9 3 2 3")
MAX_MARKED_POINTS = 40
"""Above this, points are drawn as a line only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value at a step; with an interval where one is known."""

    step: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A labelled line."""

    label: str
    points: tuple[Point, ...]

    @property
    def finite(self) -> tuple[Point, ...]:
        """Points with a number."""
        return tuple(point for point in self.points if isfinite(point.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines over steps."""

    title: str
    note: str
    """What is drawn and in which unit, for the caption."""
    series: tuple[Series, ...]
    is_share: bool = False
    """Values are shares: the axis is 0 to 1."""
    reference: float | None = None
    """A level worth comparing with, drawn as a thin line."""
    extent: tuple[float, float] | None = None
    """Lowest and highest value of the axis, for charts that are read side by side; None = what is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One estimate with its interval, as a row of a comparison."""

    label: str
    series: int
    """0 = tuned, 1 = base: picks colour and mark."""
    value: float
    low: float
    high: float


def line_chart(chart: Chart) -> str:
    """Return the chart as an SVG element."""
    series = [one for one in chart.series if one.finite]
    points = [point for one in series for point in one.finite]
    x_low, x_high = min(p.step for p in points), max(p.step for p in points)
    y_ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if chart.is_share else nice_ticks(*_axis(chart, points), 4)
    x = _Scale(x_low, x_high, LEFT + 6, WIDTH - RIGHT - 6)
    y = _Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [_axes(x, y, _step_ticks(x_low, x_high), y_ticks)]
    if chart.reference is not None:
        parts.append(_line(LEFT, y(chart.reference), WIDTH - RIGHT, y(chart.reference), "reference"))
    for index, one in enumerate(series):
        parts.append(_band(one.finite, x, y, index))
        parts.append(_path(one.finite, x, y, index))
    if len(series) > 1:
        parts.append(_legend([one.label for one in series]))
    return _svg(chart.title, "; ".join(map(_in_words, series)), WIDTH, HEIGHT, parts)


def interval_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return estimates with 95 % intervals on one axis from 0 to 1, a row each."""
    row, left, width = 28, 158, 500
    height = TOP + row * len(bars) + BOTTOM
    x = _Scale(0.0, 1.0, left, width - 56)
    parts: list[str] = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line(x(tick), TOP - 8, x(tick), height - BOTTOM, "gridline"))
        parts.append(_text(x(tick), height - BOTTOM + 18, f"{tick:.0%}", "middle"))
    for index, bar in enumerate(bars):
        middle = TOP + row * index + row / 2
        colour = f'stroke="var(--series-{bar.series})" fill="var(--series-{bar.series})"'
        parts.append(_text(left - 12, middle + 4, bar.label, "end"))
        parts.append(
            f'<line x1="{x(bar.low):.1f}" x2="{x(bar.high):.1f}" y1="{middle}" y2="{middle}" '
            f'stroke-width="3" {colour}/>'
        )
        mark = (
            f'<circle cx="{x(bar.value):.1f}" cy="{middle}" r="6" {colour}/>'
            if bar.series == 0
            else f'<rect x="{x(bar.value) - 5.5:.1f}" y="{middle - 5.5}" width="11" height="11" {colour}/>'
        )
        parts.append(mark)
        parts.append(_text(min(x(bar.high) + 10, width - 48), middle + 4, f"{bar.value:.1%}", "start"))
    described = "; ".join(f"{b.label}: {b.value:.1%}, interval {b.low:.1%} to {b.high:.1%}" for b in bars)
    return _svg(title, described, width, height, parts)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return at least two round numbers that enclose ``low`` and ``high``, about ``count`` intervals apart.

    >>> nice_ticks(0.13, 0.87, 4)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-300):
        margin = abs(low) / 2 or 0.5
        low, high = low - margin, high + margin
    rough = (high - low) / count
    power = 10.0 ** floor(log10(rough))
    spacing = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = floor(low / spacing + 1e-9), ceil(high / spacing - 1e-9)
    return [float(f"{index * spacing:.12g}") for index in range(first, last + 1)]


class _Scale:
    """A linear map from values to pixels."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._start = low, start
        self._factor = (end - start) / (high - low) if high > low else 0.0

    def __call__(self, value: float) -> float:
        return self._start + (value - self._low) * self._factor


def _axis(chart: Chart, points: Iterable[Point]) -> tuple[float, float]:
    return chart.extent or extent(points, chart.reference)


def extent(points: Iterable[Point], reference: float | None = None) -> tuple[float, float]:
    """Return the lowest and highest value of points with their intervals, and of a reference."""
    values = [v for p in points for v in (p.value, p.low, p.high) if v is not None and isfinite(v)]
    if reference is not None:
        values.append(reference)
    return min(values), max(values)


def _step_ticks(low: float, high: float) -> list[float]:
    ticks = [tick for tick in nice_ticks(low, high, 5) if low <= tick <= high and tick == round(tick)]
    return ticks or [low]


def _axes(x: _Scale, y: _Scale, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> str:
    parts: list[str] = []
    for tick in y_ticks:
        parts.append(_line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "gridline"))
        parts.append(_text(LEFT - 7, y(tick) + 4, f"{tick:.6g}", "end"))
    for tick in x_ticks:
        parts.append(_text(x(tick), HEIGHT - BOTTOM + 18, f"{tick:.6g}", "middle"))
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 3, "step", "end"))
    return "".join(parts)


def _band(points: Sequence[Point], x: _Scale, y: _Scale, index: int) -> str:
    edges = [(p.step, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if not edges:
        return ""
    there = [f"{x(step):.1f},{y(high):.1f}" for step, _, high in edges]
    back = [f"{x(step):.1f},{y(low):.1f}" for step, low, _ in reversed(edges)]
    if len(edges) == 1:
        step, low, high = edges[0]
        return f'<line x1="{x(step):.1f}" x2="{x(step):.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}" class="whisker"/>'
    return f'<polygon points="{" ".join(there + back)}" fill="var(--series-{index})" fill-opacity="0.18"/>'


def _path(points: Sequence[Point], x: _Scale, y: _Scale, index: int) -> str:
    colour = f"var(--series-{index})"
    coordinates = " ".join(f"{x(point.step):.1f},{y(point.value):.1f}" for point in points)
    line = f'<polyline points="{coordinates}" fill="none" {_stroke(index)}/>'
    if len(points) > MAX_MARKED_POINTS:
        return line
    marks = "".join(
        f'<circle cx="{x(point.step):.1f}" cy="{y(point.value):.1f}" r="2.6" fill="{colour}">'
        f"<title>{escape(_point_in_words(point))}</title></circle>"
        for point in points
    )
    return line + marks


def _legend(labels: Sequence[str]) -> str:
    parts: list[str] = []
    left = LEFT
    for index, label in enumerate(labels):
        parts.append(f'<line x1="{left}" x2="{left + 26}" y1="12" y2="12" {_stroke(index)}/>')
        parts.append(_text(left + 31, 16, label, "start"))
        left += 46 + 7 * len(label)
    return "".join(parts)


def _stroke(index: int) -> str:
    dash = DASHES[index % len(DASHES)]
    return f'stroke="var(--series-{index})" stroke-width="2"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _in_words(series: Series) -> str:
    first, last = series.finite[0], series.finite[-1]
    return f"{series.label}: from {_point_in_words(first)} to {_point_in_words(last)}"


def _point_in_words(point: Point) -> str:
    interval = (
        "" if point.low is None or point.high is None else f" (95 % interval {point.low:.3g} to {point.high:.3g})"
    )
    return f"{point.value:.4g}{interval} at step {point.step:g}"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, description: str, width: int, height: int, parts: Sequence[str]) -> str:
    label = escape(f"{title}. {description}", quote=True)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
