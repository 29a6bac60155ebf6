"""TankControl: a tool call is a minute of the plant; every minute that counts is rewarded in the turn that ran it."""

from collections.abc import Iterator
from hashlib import blake2b

from turnwright.core.episode import Episode
from turnwright.core.errors import ToolError
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment, TurnRewards
from turnwright.environments.gallery.sizes import split_sizes
from turnwright.environments.gallery.tank_control.operators import follow_gauges, operate
from turnwright.environments.gallery.tank_control.plant import (
    AREA,
    CHANGE_AT,
    COUNTED,
    COUPLING,
    GRACE,
    MINUTES,
    STRONGEST_PUMP,
    TOLERANCE,
    advance,
    held,
    make_shift,
    rounded,
)
from turnwright.environments.scripts import Script
from turnwright.environments.tools import tool

INSTRUCTIONS = f"""\
Operate two tanks for {MINUTES} minutes: hold both levels at their set points.

Each call of set_pumps runs one minute with the rates you choose, from 0 to {STRONGEST_PUMP:g} litres per minute, and \
tells the levels and set points after it. Call it once per reply; after minute {MINUTES} say done.

A centimetre of level is {AREA:g} litres. A pipe joins the tanks: for each centimetre that tank 1 stands above tank 2, \
it lets {COUPLING:g} litres per minute through, from 1 to 2, or back where 2 is higher. Consumers draw water from both \
tanks. Nobody measures how much; it differs between the tanks and changes now and then. So of one minute:
  change of level 1 = (pump 1 - pipe - demand 1) / {AREA:g}
  change of level 2 = (pump 2 + pipe - demand 2) / {AREA:g}

The set points change once, after minute {CHANGE_AT}. The first {GRACE} minutes of the shift and after the change do \
not count. In each of the others every level within {TOLERANCE:g} cm of its set point at the end of the minute \
counts alike."""


class TankControl(Environment):
    """Hold the levels of two coupled tanks, against demands that nobody measures."""

    instructions = INSTRUCTIONS
    typical_turns = MINUTES + 1

    def __init__(
        self, *, train_tasks: int = 600, validation_tasks: int = 60, test_tasks: int = 180, seed: int = 0
    ) -> None:
        """Take the number of tasks per split and the seed of their shifts."""
        self._sizes = split_sizes("tank_control", train=train_tasks, validation=validation_tasks, test=test_tasks)
        self._seed = seed

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield the tasks of a split; each shift has its own levels, set points and demands."""
        for index in range(self._sizes[split]):
            key = f"{split}-{index}"
            shift = make_shift(self._seed, key)
            yield Task(
                id=f"tanks-{self._seed}-{key}",
                prompt=_panel(0, shift.levels, shift.set_points_at(1)),
                data={"key": key},
                split=split,
                cluster=blake2b(repr(shift).encode(), digest_size=8).hexdigest(),
            )

    def open(self, task: Task, seed: int) -> None:
        """Begin a shift."""
        super().open(task, seed)
        self._shift = make_shift(self._seed, task.data["key"])
        self._levels = self._shift.levels
        self._held: list[int] = []

    @tool
    def set_pumps(self, pump_1: float, pump_2: float) -> str:
        """Run one minute; returns the levels at its end and the set points of the next minute.

        Args:
            pump_1: Rate of the pump into tank 1, in litres per minute.
            pump_2: Rate of the pump into tank 2, in litres per minute.
        """
        minute = len(self._held) + 1
        if minute > MINUTES:
            raise ToolError(f"the shift of {MINUTES} minutes is over: say done")
        for name, rate in (("pump_1", pump_1), ("pump_2", pump_2)):
            if not 0 <= rate <= STRONGEST_PUMP:
                raise ToolError(f"{name} = {rate}: a pump does 0 to {STRONGEST_PUMP:g} litres per minute")
        self._levels = advance(self._levels, (pump_1, pump_2), self._shift.demands[minute - 1])
        shown = rounded(self._levels)
        self._held.append(held(shown, self._shift.set_points_at(minute)))
        if minute == MINUTES:
            return _panel(minute, shown, self._shift.set_points_at(minute)) + "\nThe shift is over."
        return _panel(minute, shown, self._shift.set_points_at(minute + 1))

    def reward(self, episode: Episode) -> TurnRewards:
        """Return, for each turn, the share of counted levels that its minutes held; 1 in all when every level was.

        A minute that was never run is a minute not held.
        """
        minutes, rewards = enumerate(self._held, start=1), list[float]()
        for turn in episode.turns:
            ran = [next(minutes, (0, 0)) for one in turn.tools if one.name == "set_pumps" and not one.error]
            rewards.append(sum(levels for minute, levels in ran if minute in COUNTED) / (2 * len(COUNTED)))
        return TurnRewards(values=tuple(rewards), components={"minutes_run": len(self._held) / MINUTES})

    def oracle(self, task: Task) -> Script:
        """Solve the balance of each tank for its pump, with the demands that explain the last minute."""
        return operate(task.prompt)

    def gauge_follower(self, task: Task, seed: int) -> Script:
        """Pump in proportion to what is missing, with a gain drawn per task and seed."""
        gain = generator("tank_control.gauge_follower", seed, task.id).uniform(1.5, 4.5)
        return follow_gauges(task.prompt, gain)


def _panel(minute: int, levels: tuple[float, float], set_points: tuple[float, float]) -> str:
    return (
        f"after minute {minute} of {MINUTES}\n"
        f"levels: {levels[0]:.1f} and {levels[1]:.1f} cm\n"
        f"set points: {set_points[0]:g} and {set_points[1]:g} cm"
    )
