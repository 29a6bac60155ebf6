"""Charts: axes enclose the data, and every value keeps its place."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnwright.report.charts import Bar, Chart, Point, Series, interval_chart, line_chart, nice_ticks

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@example(0.0, 5e-324, 2)
@example(0.0, 3e-14, 4)
@given(numbers, numbers, st.integers(2, 6))
def test_ticks_enclose_the_values_evenly(first: float, second: float, count: int) -> None:
    low, high = sorted((first, second))
    ticks = nice_ticks(low, high, count)
    assert len(ticks) >= 2
    slack = 1e-6 * max(high - low, abs(low), abs(high))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert len(ticks) <= 2 * count + 4


def test_points_that_are_not_numbers_are_left_out() -> None:
    points = (Point(step=0, value=1.0), Point(step=1, value=math.nan), Point(step=2, value=3.0))
    drawing = line_chart(Chart(title="t", note="", series=(Series(label="s", points=points),)))
    assert drawing.count("<circle") == 2
    assert "nan" not in drawing


def test_interval_becomes_a_band_and_is_in_the_description() -> None:
    points = tuple(Point(step=step, value=0.5, low=0.4, high=0.6) for step in range(3))
    drawing = line_chart(Chart(title="t", note="", series=(Series(label="s", points=points),), is_share=True))
    assert "<polygon" in drawing
    assert "95 % interval 0.4 to 0.6" in drawing


def test_one_single_point_can_be_drawn() -> None:
    points = (Point(step=4, value=0.2, low=0.1, high=0.3),)
    ElementTree.fromstring(line_chart(Chart(title="t", note="", series=(Series(label="s", points=points),))))


def test_higher_values_are_drawn_higher() -> None:
    points = (Point(step=0, value=0.0), Point(step=1, value=1.0))
    drawing = line_chart(Chart(title="t", note="", series=(Series(label="s", points=points),), is_share=True))
    low, high = (float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', drawing))
    assert high < low


def test_series_differ_by_dash_as_well_as_colour() -> None:
    points = (Point(step=0, value=0.0), Point(step=1, value=1.0))
    series = tuple(Series(label=name, points=points) for name in "ab")
    drawing = line_chart(Chart(title="t", note="", series=series))
    lines = re.findall(r"<polyline[^>]*>", drawing)
    assert ["stroke-dasharray" in line for line in lines] == [False, True]


def test_labels_are_escaped() -> None:
    bar = Bar(label='<b>"x"', series=0, value=0.5, low=0.4, high=0.6)
    root = ElementTree.fromstring(interval_chart("<t>", [bar]))
    assert root.get("aria-label") == '<t>. <b>"x": 50.0%, interval 40.0% to 60.0%'


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
def test_constant_values_get_an_axis_around_them(value: float) -> None:
    ticks = nice_ticks(value, value, 4)
    assert ticks[0] < value < ticks[-1]
