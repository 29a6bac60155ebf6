r"""The plant: two tanks, a pump into each, a pipe between them, and consumers that nobody measures.

    pump 1 -> tank 1 ==pipe==> tank 2 <- pump 2        level_1' = level_1 + (pump_1 - pipe - demand_1) / AREA
                 \-> demand 1     \-> demand 2         level_2' = level_2 + (pump_2 + pipe - demand_2) / AREA

Levels in centimetres, flows in litres per minute; pipe = COUPLING * (level_1 - level_2). A level stays within the tank.
"""

from dataclasses import dataclass
from random import Random

from turnwright.core.seeding import generator

AREA = 3.0
"""Litres per centimetre of level."""
COUPLING = 0.5
"""Litres per minute through the pipe, for each centimetre of difference."""
HEIGHT = 100.0
"""Of a tank, in centimetres."""
STRONGEST_PUMP = 60.0
"""Litres per minute."""
MINUTES = 10
CHANGE_AT = 5
"""Minute after which other set points hold."""
GRACE = 3
"""Minutes after new set points that do not count."""
TOLERANCE = 1.5
"""Centimetres a level may be off its set point."""
COUNTED = tuple(minute for minute in range(1, MINUTES + 1) if (minute - 1) % CHANGE_AT >= GRACE)
"""The minutes, from 1, at whose end the levels count."""

Pair = tuple[float, float]
"""One number for each tank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What a task is about.

    Example: levels of 40 and 45 cm at first, to be brought to 45 and 50, and from minute 6 on to 52 and 57::

        Shift(levels=(40.0, 45.0), set_points=((45, 50), (52, 57)), demands=((18.0, 26.0), ..., (18.0, 24.0)))
    """

    levels: Pair
    """Before the first minute."""
    set_points: tuple[Pair, Pair]
    """Before and after the change."""
    demands: tuple[Pair, ...]
    """For each minute; never told."""

    def set_points_at(self, minute: int) -> Pair:
        """Return the set points that hold during a minute, counted from 1."""
        return self.set_points[minute > CHANGE_AT]


def advance(levels: Pair, pumps: Pair, demands: Pair) -> Pair:
    """Return the levels one minute later."""
    pipe = COUPLING * (levels[0] - levels[1])
    first = levels[0] + (pumps[0] - pipe - demands[0]) / AREA
    second = levels[1] + (pumps[1] + pipe - demands[1]) / AREA
    return min(max(first, 0.0), HEIGHT), min(max(second, 0.0), HEIGHT)


def rounded(levels: Pair) -> Pair:
    """Return the levels as the gauges show them, which is what counts: to a tenth of a centimetre."""
    return round(levels[0], 1), round(levels[1], 1)


def held(levels: Pair, set_points: Pair) -> int:
    """Return how many of the two levels are near enough to their set points."""
    return sum(round(abs(level - wanted), 1) <= TOLERANCE for level, wanted in zip(levels, set_points, strict=True))


def make_shift(seed: int, key: str) -> Shift:
    """Draw a shift that can be held: what is asked of the tanks is less than the grace allows, in the worst case.

    Set points move by 6 to 9 cm together, or by 4 or 5 cm against each other. An emptying tank loses a demand of 16
    litres per minute at least, less what the pipe brings: with levels that differ by 12 cm at most, 10 cm in three
    minutes. One move of a demand costs less than the tolerance.
    """
    random = generator("tank_control", seed, key)
    before = random.randint(40, 60)
    set_points = (float(before), float(before + random.randint(-2, 2)))
    together, sign = random.random() < 0.5, random.choice((-1, 1))
    step = sign * (random.randint(6, 9) if together else random.randint(4, 5))
    after = (set_points[0] + step, set_points[1] + (step if together else -step))
    levels = [round(wanted + random.choice((-1, 1)) * random.uniform(4, 5), 1) for wanted in set_points]
    return Shift(
        levels=(levels[0], levels[1]),
        set_points=(set_points, after),
        demands=tuple(zip(_draw_demand(random), _draw_demand(random), strict=True)),
    )


def _draw_demand(random: Random) -> list[float]:
    """Return a demand per minute, 16 to 28 litres, that moves twice, by 2 to 3.5 litres."""
    moves = set(random.sample(range(1, MINUTES), 2))
    demand = random.uniform(16, 28)
    demands: list[float] = []
    for minute in range(MINUTES):
        if minute in moves:
            step = random.uniform(2, 3.5)
            demand += -step if demand + step > 28 or (demand - step >= 16 and random.random() < 0.5) else step
        demands.append(round(demand, 1))
    return demands
