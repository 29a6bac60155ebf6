"""Worlds of the hangar: a pure function of seed and key, one world per task, none shared.

What should come out is drawn first (condition, directive status, cycles left, repeat, part source), each label in its
proportion; then records are dealt until the procedure's own rules give that. So no field is settled by a guess, and
what a wrong turn costs shows. A world holds two aircraft and three components, of which a task asks about one each.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import TypeVar

from turnwright.core.seeding import generator
from turnwright.environments.gallery.hangar_inspection.records import (
    Aircraft,
    Component,
    Directive,
    Lot,
    PastFinding,
    Reading,
    Technician,
    WorkOrder,
    World,
)
from turnwright.environments.gallery.hangar_inspection.rules import (
    DOUBLE_COUNTED_MODEL,
    FEW_CYCLES,
    WEAR_LIMITS,
    condition_of,
    decide,
    directive_of,
    is_repeated,
    part_source_of,
    technician_of,
)

MODELS = ("HX-200", "HX-300", DOUBLE_COUNTED_MODEL)
BASES = ("north", "south", "east")
CODES = ("leak", "crack", "noise")
REQUIREMENTS = ("repair", "replace")
TOOL_NAMES = (
    "get_aircraft",
    "get_component",
    "get_readings",
    "get_directives",
    "get_findings",
    "get_stock",
    "get_roster",
)
BUSY_SHARE = 0.4
"""Share of tasks in which one tool is busy at its first call."""
READER_SHARE = 0.4
"""Share of tasks in which the technician who would sign took the latest reading, if nothing else forbids it."""
TECHNICIANS = tuple(f"T{number}" for number in range(10, 34))
"""A closed set, as the strict scorer wants the labels of a field to be."""

Dealt = TypeVar("Dealt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One task: what is asked, the world it is asked in, and the tool that is busy once."""

    order: WorkOrder
    world: World
    busy_tool: str
    """Empty = none."""

    @property
    def world_hash(self) -> str:
        """Return a digest of every record of the world."""
        return blake2b(repr(self.world).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=4096)
def make_case(seed: int, key: str) -> Case:
    """Make the case named by seed and key."""
    random = generator("hangar_inspection", seed, key)
    today = date(2031, 1, 1) + timedelta(days=random.randrange(700))
    ours, other = (_deal_aircraft(random, name) for name in _names(random, "A", 2))
    components = [
        _deal_component(random, today, name, owner, part)
        for name, owner, part in zip(_names(random, "C", 3), (ours, ours, other), _names(random, "P", 3), strict=True)
    ]
    order = WorkOrder(aircraft=ours.aircraft, component=components[0].component, inspection_date=today.isoformat())
    world = _settle(random, order, _deal_world(random, today, (ours, other), components))
    if random.random() < READER_SHARE:
        world = _let_signer_measure(order, world)
    busy = random.choice(TOOL_NAMES) if random.random() < BUSY_SHARE else ""
    return Case(order=order, world=world, busy_tool=busy)


def _deal_world(random: Random, today: date, aircraft: tuple[Aircraft, ...], components: list[Component]) -> World:
    """Deal everything around the aircraft and their components, whatever comes out."""
    day, next_day = today.isoformat(), _days_after(today, 1)
    base = aircraft[0].base
    shown = ((base, day), (base, next_day), (_other(random, BASES, base), day))
    rosters = {base_and_day: _deal_roster(random) for base_and_day in shown}
    return World(
        aircraft={one.aircraft: one for one in aircraft},
        components={one.component: one for one in components},
        readings={one.component: _deal_readings(random, today, one, rosters[base, day]) for one in components},
        directives={
            one.model: _deal_directives(random, today, next(c for c in components if c.aircraft == one.aircraft))
            for one in reversed(aircraft)
        },
        findings={
            one.aircraft: _deal_findings(random, today, [c for c in components if c.aircraft == one.aircraft])
            for one in aircraft
        },
        stock={one.part: _deal_lots(random, today) for one in components},
        rosters=rosters,
    )


def _settle(random: Random, order: WorkOrder, world: World) -> World:
    """Deal anew what decides on the work order, until each thing comes out as it is drawn."""
    day, today = order.inspection_date, date.fromisoformat(order.inspection_date)
    ours, asked = world.aircraft[order.aircraft], world.components[order.component]
    beside = [one for one in world.components.values() if one.aircraft == ours.aircraft]
    condition = random.choices(("good", "worn", "out_of_limits", "unproven"), (30, 45, 13, 12))[0]
    status = random.choice(("none", "complied", "overdue", "due", "open"))
    repeated = random.random() < 0.5
    source = random.choice(("base", "transfer", "order"))
    readings = _until(
        lambda: _deal_readings(random, today, asked, world.rosters[ours.base, day]),
        lambda dealt: condition_of(ours, asked.kind, dealt, day) == condition,
    )
    directives = _until(
        lambda: _deal_directives(random, today, asked), lambda dealt: directive_of(dealt, asked, day)[0] == status
    )
    findings = _until(
        lambda: _deal_findings(random, today, beside),
        lambda dealt: is_repeated(dealt, asked.component, day) == repeated,
    )
    lots = _until(lambda: _deal_lots(random, today), lambda dealt: part_source_of(dealt, ours.base, day) == source)
    return replace(
        world,
        readings={**world.readings, asked.component: readings},
        directives={**world.directives, ours.model: directives},
        findings={**world.findings, ours.aircraft: findings},
        stock={**world.stock, asked.part: lots},
    )


def _until(deal: Callable[[], Dealt], fits: Callable[[Dealt], bool]) -> Dealt:
    """Deal until the result fits."""
    while not fits(dealt := deal()):
        pass
    return dealt


def _names(random: Random, letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in random.sample(range(100, 1000), count)]


def _other(random: Random, choices: tuple[str, ...], one: str) -> str:
    return random.choice([choice for choice in choices if choice != one])


def _days_after(today: date, days: int) -> str:
    return (today + timedelta(days=days)).isoformat()


def _near(random: Random, today: date, day: str) -> str:
    """Return a day around the given one, and some days before today, so that either may come first."""
    around = date.fromisoformat(day) + timedelta(days=random.randrange(-200, 201))
    return min(around, today - timedelta(days=5)).isoformat()


def _deal_aircraft(random: Random, name: str) -> Aircraft:
    return Aircraft(
        aircraft=name,
        model=random.choice(MODELS),
        base=random.choice(BASES),
        status="storage" if random.random() < 0.25 else "line",
        extended_range=random.random() < 0.35,
        total_cycles=random.randrange(4000, 30000),
    )


def _deal_component(random: Random, today: date, name: str, owner: Aircraft, part: str) -> Component:
    since = random.randrange(100, 2400)
    weighted = since * (2 if owner.model == DOUBLE_COUNTED_MODEL else 1)
    limit = random.choice((6000, 8000, 10000))
    bands = (range(-400, 1), range(1, FEW_CYCLES), range(FEW_CYCLES, limit - weighted))
    remaining = random.choice(random.choices(bands, (10, 30, 60))[0])
    installed = random.randrange(60, 1200)
    return Component(
        component=name,
        aircraft=owner.aircraft,
        part=part,
        kind=random.choice(tuple(WEAR_LIMITS)),
        serial=random.randrange(1000, 9000),
        installed_on=_days_after(today, -installed),
        aircraft_cycles_at_installation=owner.total_cycles - since,
        cycles_carried=limit - remaining - weighted,
        life_limit=limit if random.random() < 0.75 else None,
        overhauled_on=_days_after(today, -random.randrange(30, 900)) if random.random() < 0.65 else None,
    )


def _deal_readings(
    random: Random, today: date, component: Component, readers: tuple[Technician, ...]
) -> tuple[Reading, ...]:
    lower, upper = WEAR_LIMITS[component.kind]
    wear, void = random.randrange(lower - 15, upper + 15), random.choice((0.1, 0.3, 0.6))
    ages = {random.choice((365, 366))} if random.random() < 0.3 else set[int]()
    number = random.randrange(4, 9)
    while len(ages) < number:
        ages.add(random.randrange(500))
    return tuple(
        Reading(
            taken_on=_days_after(today, -age),
            taken_by=random.choice(readers).technician,
            wear=max(1, wear + random.randrange(-8, 9)),
            status="void" if random.random() < void else "ok",
        )
        for age in sorted(ages)
    )


def _deal_directives(random: Random, today: date, component: Component) -> tuple[Directive, ...]:
    done_on = component.overhauled_on or component.installed_on
    return tuple(
        Directive(
            directive=name,
            kind=component.kind if random.random() < 0.7 else _other(random, tuple(WEAR_LIMITS), component.kind),
            first_serial=(first := component.serial + random.choice((-900, -400, -50, 0, 1, 60))),
            last_serial=first + random.choice((100, 500, 1500)),
            issued_on=_near(random, today, random.choice((component.installed_on, done_on))),
            due_on=_days_after(today, random.choice((-60, -7, -1, 0, 5, 12, 30, 31, 45, 90)) + random.randrange(3)),
            requires=random.choice(REQUIREMENTS),
        )
        for name in sorted(_names(random, "D", random.randrange(2, 6)))
    )


def _deal_findings(random: Random, today: date, components: list[Component]) -> tuple[PastFinding, ...]:
    ages = sorted(random.sample((*range(3, 260), *(180, 181) * 15), random.randrange(3, 7)))
    return tuple(
        PastFinding(
            finding=name,
            component=random.choice(components).component,
            code=random.choice(CODES),
            found_on=_days_after(today, -age),
            outcome=random.choices(("fixed", "deferred", "no_fault"), (45, 30, 25))[0],
        )
        for name, age in zip(_names(random, "F", len(ages)), ages, strict=True)
    )


def _deal_lots(random: Random, today: date) -> tuple[Lot, ...]:
    return tuple(
        Lot(
            lot=name,
            base=random.choice(BASES),
            quantity=(quantity := random.randrange(1, 4)),
            reserved=random.randrange(quantity + 1),
            expires_on=_days_after(today, random.choice((-90, -20, -1, 0, 40, 200, 400))),
        )
        for name in _names(random, "L", random.randrange(2, 5))
    )


def _deal_roster(random: Random) -> tuple[Technician, ...]:
    return tuple(
        Technician(
            technician=name,
            licence=random.choices("ABC", (20, 30, 50))[0],
            shift=random.choices(("day", "night", "off"), (50, 32, 18))[0],
            models=tuple(model for model in MODELS if random.random() < 0.85),
            open_tasks=random.randrange(6),
        )
        for name in random.sample(TECHNICIANS, 6)
    )


def _let_signer_measure(order: WorkOrder, world: World) -> World:
    """Return the world in which whoever would sign, measured by nobody, took the latest reading."""
    aircraft = world.aircraft[order.aircraft]
    action = decide(order, world).action
    roster = world.rosters[aircraft.base, order.inspection_date]
    signer = technician_of(roster, aircraft, action, reader="")
    if action == "hold" or signer == "none":
        return world
    latest, *earlier = world.readings[order.component]
    readings = (replace(latest, taken_by=signer), *earlier)
    return replace(world, readings={**world.readings, order.component: readings})
