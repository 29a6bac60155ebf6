"""Where the time goes, as bars."""

import re
from xml.etree import ElementTree

from turnwright.report.stacks import MAX_BARS, Bar, draw_time, time_chart


def record(number: int, **seconds: float) -> dict[str, float]:
    return {"step": float(number), **{f"timing_s/{name}": value for name, value in seconds.items()}}


def test_states_are_put_together_in_layers():
    chart = time_chart(
        [
            record(0, step=9.0, eval=9.0),
            record(1, step=8.0, generation=3.0, tools=1.0, training=2.0, weight_update=1.0, eval=0.5, other=0.5),
            record(2, step=4.0, rollout=3.0, training=1.0),
            record(3),
        ]
    )
    assert chart is not None
    assert chart.bars == (
        Bar(
            first=1,
            last=1,
            seconds={"training": 3.0, "generation": 3.0, "tools": 1.0, "the rest": 1.0},
        ),
        Bar(first=2, last=2, seconds={"training": 1.0, "generation": 3.0}),
    )


def test_many_steps_share_bars():
    chart = time_chart([record(step, step=float(step), training=float(step)) for step in range(1, 2 * MAX_BARS)])
    assert chart is not None
    assert len(chart.bars) == MAX_BARS
    assert chart.bars[1] == Bar(first=3, last=4, seconds={"training": 3.5})
    assert chart.bars[-1] == Bar(first=2 * MAX_BARS - 1, last=2 * MAX_BARS - 1, seconds={"training": 119.0})
    assert "Each bar is the mean of 2 steps." in chart.note


def test_a_bar_is_as_high_as_its_seconds():
    chart = time_chart([record(1, step=8.0, generation=6.0, training=2.0, other=0.0)])
    assert chart is not None
    svg = ElementTree.fromstring(draw_time(chart))
    heights = [float(rect.get("height", 0)) for rect in svg.iter("rect") if rect.find("title") is not None]
    # The axis ends at 8 s and is 186 high.
    assert heights == [46.5, 139.5]
    assert [title.text for title in svg.iter("title")][1] == "generation: 6 s of 8 s, step 1"
    assert svg.get("aria-label") == "Where the time goes. training: 25%; generation: 75%"
    assert re.search(r">training<", draw_time(chart))


def test_without_times_there_is_no_chart():
    assert time_chart([]) is None
    assert time_chart([{"step": 1.0, "training/loss": 0.5}]) is None
