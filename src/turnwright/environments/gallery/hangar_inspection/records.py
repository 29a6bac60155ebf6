"""What the hangar's tools know: records of JSON values alone, so that an answer read back is a record again.

Days are ISO dates (``2031-04-18``); as text they are in order of time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """What a task asks about."""

    aircraft: str
    component: str
    inspection_date: str

    @property
    def prompt(self) -> str:
        """Return the task's prompt: one ``name: value`` line each."""
        return f"aircraft: {self.aircraft}\ncomponent: {self.component}\ninspection_date: {self.inspection_date}"

    @classmethod
    def read(cls, prompt: str) -> "WorkOrder":
        """Return the work order that a prompt states."""
        return cls(**dict(line.split(": ", 1) for line in prompt.splitlines()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Aircraft:
    """One aircraft."""

    aircraft: str
    model: str
    base: str
    status: str
    """line or storage."""
    extended_range: bool
    total_cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component with its history."""

    component: str
    aircraft: str
    part: str
    kind: str
    serial: int
    installed_on: str
    aircraft_cycles_at_installation: int
    cycles_carried: int
    """Cycles it had flown on other aircraft before."""
    life_limit: int | None
    """Cycles; None = on condition, without a limit."""
    overhauled_on: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One measurement of a component's wear."""

    taken_on: str
    taken_by: str
    wear: int
    """Micrometres."""
    status: str
    """ok or void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One airworthiness directive of a model."""

    directive: str
    kind: str
    first_serial: int
    last_serial: int
    issued_on: str
    due_on: str
    requires: str
    """repair or replace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFinding:
    """One earlier finding on an aircraft."""

    finding: str
    component: str
    code: str
    found_on: str
    outcome: str
    """fixed, deferred or no_fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Pieces of one part at one base."""

    lot: str
    base: str
    quantity: int
    reserved: int
    expires_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Technician:
    """One line of a day's roster."""

    technician: str
    licence: str
    """A, B or C, the highest."""
    shift: str
    """day, night or off."""
    models: Sequence[str]
    open_tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All records of one task, by what the tools are asked with."""

    aircraft: Mapping[str, Aircraft]
    components: Mapping[str, Component]
    readings: Mapping[str, tuple[Reading, ...]]
    """By component, the latest first; one a day at most."""
    directives: Mapping[str, tuple[Directive, ...]]
    """By model."""
    findings: Mapping[str, tuple[PastFinding, ...]]
    """By aircraft."""
    stock: Mapping[str, tuple[Lot, ...]]
    """By part."""
    rosters: Mapping[tuple[str, str], tuple[Technician, ...]]
    """By base and day."""
