"""Operators: one that computes what the plant needs, and one that only looks at how far the levels are off."""

import re
from collections.abc import Iterable

from turnwright.core.message import Message
from turnwright.environments.gallery.tank_control.plant import AREA, COUPLING, MINUTES, STRONGEST_PUMP, Pair
from turnwright.environments.scripts import Script, call, say

PAIR = re.compile(r"(levels|set points): (-?\d+(?:\.\d+)?) and (-?\d+(?:\.\d+)?)")
FIRST_DEMAND = 22.0
"""Litres per minute, before anything is known."""


def read_panel(text: str) -> tuple[Pair, Pair]:
    """Return levels and set points as the panel states them."""
    found = {name: (float(one), float(other)) for name, one, other in PAIR.findall(text)}
    return found["levels"], found["set points"]


def operate(panel: str) -> Script:
    """Bring both levels to their set points within a minute, as far as the pumps can.

    The balance of each tank is solved for its pump; the demands in it are those that explain what the last minute did
    (an integral action: whatever is not measured ends up there).
    """
    levels, set_points = read_panel(panel)
    demands = (FIRST_DEMAND, FIRST_DEMAND)
    for _ in range(MINUTES):
        pipe = COUPLING * (levels[0] - levels[1])
        pumps = (
            _within(AREA * (set_points[0] - levels[0]) + pipe + demands[0]),
            _within(AREA * (set_points[1] - levels[1]) - pipe + demands[1]),
        )
        followed = yield call("set_pumps", pump_1=pumps[0], pump_2=pumps[1])
        now, set_points = read_panel(_text(followed))
        demands = (
            pumps[0] - pipe - AREA * (now[0] - levels[0]),
            pumps[1] + pipe - AREA * (now[1] - levels[1]),
        )
        levels = now
    yield say("done")


def follow_gauges(panel: str, gain: float) -> Script:
    """Pump in proportion to what is missing, knowing nothing of pipe and demands."""
    levels, set_points = read_panel(panel)
    for _ in range(MINUTES):
        missing = [wanted - level for wanted, level in zip(set_points, levels, strict=True)]
        pumps = [_within(FIRST_DEMAND + gain * centimetres) for centimetres in missing]
        followed = yield call("set_pumps", pump_1=pumps[0], pump_2=pumps[1])
        levels, set_points = read_panel(_text(followed))
    yield say("done")


def _text(followed: Iterable[Message]) -> str:
    return next(iter(followed)).content


def _within(litres: float) -> float:
    return round(min(max(litres, 0.0), STRONGEST_PUMP), 1)
