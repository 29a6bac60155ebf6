"""The procedure's rules as functions: records flow in, the seven fields of the answer flow out.

One function per step, so that the oracle can decide as it goes which tool to call next; ``decide`` does them all.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

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

WEAR_LIMITS: Mapping[str, tuple[int, int]] = {
    "valve": (25, 45),
    "actuator": (40, 60),
    "pump": (55, 80),
    "gearbox": (70, 95),
}
"""By kind: mean wear above which a component is worn, and above which it is out of limits; micrometres."""
EXTENDED_RANGE_MARGIN = 5
DOUBLE_COUNTED_MODEL = "HX-400"
READINGS_NEEDED = 3
READING_DAYS = 365
FINDING_DAYS = 180
DUE_DAYS = 30
FEW_CYCLES = 500
LICENCES = "ABC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The seven scored fields of an answer."""

    condition: str
    remaining_cycles: int | None
    directive_status: str
    repeat_finding: bool
    action: str
    part_source: str
    technician: str

    def answer(self) -> str:
        """Return the answer block."""
        return f"<final_output>{json.dumps(asdict(self))}</final_output>"


def is_recent(reading: Reading, inspection_date: str) -> bool:
    """Return whether a reading is young enough to count."""
    return days_between(reading.taken_on, inspection_date) <= READING_DAYS


def counted_readings(readings: Iterable[Reading], inspection_date: str) -> list[Reading]:
    """Return the readings that decide, of those given with the latest first: three, or as many as there are."""
    counting = [reading for reading in readings if reading.status == "ok" and is_recent(reading, inspection_date)]
    return counting[:READINGS_NEEDED]


def remaining_cycles(aircraft: Aircraft, component: Component) -> int | None:
    """Return step 2: the cycles left; None without a life limit."""
    if component.life_limit is None:
        return None
    weight = 2 if aircraft.model == DOUBLE_COUNTED_MODEL else 1
    since = aircraft.total_cycles - component.aircraft_cycles_at_installation
    return component.life_limit - (weight * since + component.cycles_carried)


def condition_of(aircraft: Aircraft, kind: str, readings: Iterable[Reading], inspection_date: str) -> str:
    """Return step 3: the condition that the readings, the latest first, prove."""
    counting = counted_readings(readings, inspection_date)
    if len(counting) < READINGS_NEEDED:
        return "unproven"
    margin = EXTENDED_RANGE_MARGIN if aircraft.extended_range else 0
    lower, upper = (limit - margin for limit in WEAR_LIMITS[kind])
    total = sum(reading.wear for reading in counting)
    if total > READINGS_NEEDED * upper:
        return "out_of_limits"
    return "worn" if total > READINGS_NEEDED * lower else "good"


def directive_of(
    directives: Iterable[Directive], component: Component, inspection_date: str
) -> tuple[str, Directive | None]:
    """Return step 4: the directive status, and the directive that has to be met next, if there is one."""
    applicable = [
        one
        for one in directives
        if one.kind == component.kind and one.first_serial <= component.serial <= one.last_serial
    ]
    if not applicable:
        return "none", None
    pending = [one for one in applicable if not _is_met(one, component)]
    if not pending:
        return "complied", None
    first = min(pending, key=lambda one: (one.due_on, one.directive))
    left = days_between(inspection_date, first.due_on)
    return ("overdue" if left < 0 else "due" if left <= DUE_DAYS else "open"), first


def needs_findings(condition: str) -> bool:
    """Return whether earlier findings matter for a component in this condition."""
    return condition in ("worn", "out_of_limits")


def is_repeated(findings: Iterable[PastFinding], component: str, inspection_date: str) -> bool:
    """Return step 5 for a component whose findings matter: whether one came back."""
    codes = Counter(
        finding.code
        for finding in findings
        if finding.component == component
        and finding.outcome != "no_fault"
        and 0 <= days_between(finding.found_on, inspection_date) <= FINDING_DAYS
    )
    return any(count >= 2 for count in codes.values())


def action_of(
    aircraft: Aircraft,
    *,
    condition: str,
    remaining: int | None,
    directive_status: str,
    directive: Directive | None,
    repeat_finding: bool,
) -> str:
    """Return step 6: the first rule that fits, put off where the aircraft is in storage."""
    action = "release"
    requires = directive.requires if directive else ""
    if remaining is not None and remaining <= 0:
        action = "replace"
    elif condition == "unproven":
        action = "reinspect"
    elif condition == "out_of_limits":
        action = "replace"
    elif directive_status == "overdue":
        action = requires
    elif condition == "worn" and repeat_finding:
        action = "replace"
    elif condition == "worn" and (aircraft.extended_range or (remaining is not None and remaining < FEW_CYCLES)):
        action = "repair"
    elif directive_status == "due":
        action = requires
    elif condition == "worn":
        action = "monitor"
    return "hold" if aircraft.status == "storage" and action not in ("replace", "reinspect") else action


def part_source_of(lots: Iterable[Lot], base: str, inspection_date: str) -> str:
    """Return step 7 for a component that is replaced: where the new one comes from."""
    bases = {lot.base for lot in lots if lot.quantity > lot.reserved and lot.expires_on >= inspection_date}
    if base in bases:
        return "base"
    return "transfer" if bases else "order"


def technician_of(roster: Iterable[Technician], aircraft: Aircraft, action: str, reader: str) -> str:
    """Return step 8 for an action that is signed: who signs, after ``reader`` took the latest reading."""
    needed = {"repair": "C" if aircraft.extended_range else "B", "replace": "C"}.get(action, "A")
    able = [
        (one.open_tasks, one.technician)
        for one in roster
        if one.shift != "off"
        and aircraft.model in one.models
        and LICENCES.index(one.licence) >= LICENCES.index(needed)
        and one.technician != reader
    ]
    return min(able)[1] if able else "none"


def decide(order: WorkOrder, world: World) -> Verdict:
    """Return what the procedure decides on a work order."""
    day = order.inspection_date
    aircraft, component = world.aircraft[order.aircraft], world.components[order.component]
    readings = world.readings[order.component]
    remaining = remaining_cycles(aircraft, component)
    condition = condition_of(aircraft, component.kind, readings, day)
    status, directive = directive_of(world.directives[aircraft.model], component, day)
    findings = world.findings[order.aircraft]
    repeat = needs_findings(condition) and is_repeated(findings, order.component, day)
    action = action_of(
        aircraft,
        condition=condition,
        remaining=remaining,
        directive_status=status,
        directive=directive,
        repeat_finding=repeat,
    )
    source = part_source_of(world.stock[component.part], aircraft.base, day) if action == "replace" else "not_needed"
    roster: Sequence[Technician] = () if action == "hold" else world.rosters[aircraft.base, day]
    return Verdict(
        condition=condition,
        remaining_cycles=remaining,
        directive_status=status,
        repeat_finding=repeat,
        action=action,
        part_source=source,
        technician=technician_of(roster, aircraft, action, readings[0].taken_by),
    )


def days_between(earlier: str, later: str) -> int:
    """Return the days from one ISO date to another.

    >>> days_between("2031-02-27", "2031-03-01")
    2
    """
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days


def _is_met(directive: Directive, component: Component) -> bool:
    done_on = component.installed_on if directive.requires == "replace" else component.overhauled_on
    return done_on is not None and done_on >= directive.issued_on
