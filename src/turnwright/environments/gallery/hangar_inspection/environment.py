"""HangarInspection: seven tools over a generated world, a dense reward by field, an oracle and a hurried inspector."""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from turnwright.core.episode import Episode
from turnwright.core.errors import ToolError
from turnwright.core.message import Message
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.answers import final_answer
from turnwright.environments.base import Environment
from turnwright.environments.gallery.hangar_inspection.generator import make_case
from turnwright.environments.gallery.hangar_inspection.procedure import PROCEDURE
from turnwright.environments.gallery.hangar_inspection.records import (
    Aircraft,
    Component,
    Directive,
    Lot,
    PastFinding,
    Reading,
    Technician,
    WorkOrder,
)
from turnwright.environments.gallery.hangar_inspection.rules import (
    READINGS_NEEDED,
    Verdict,
    action_of,
    condition_of,
    counted_readings,
    decide,
    directive_of,
    is_recent,
    is_repeated,
    needs_findings,
    part_source_of,
    remaining_cycles,
    technician_of,
)
from turnwright.environments.gallery.sizes import split_sizes
from turnwright.environments.rewards import field_accuracy, with_format
from turnwright.environments.scripts import Script, call, say
from turnwright.environments.tools import tool

PAGE_SIZE = 3
BUSY_MESSAGE = "busy, call again"

Record = TypeVar("Record")
Lookup = Generator[Message, tuple[Message, ...], Any]
"""Part of a script that calls a tool and returns what it answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What an inspector does against the procedure."""

    reads_one_page: bool = False
    flies_from_storage: bool = False
    """Forgets that an aircraft in storage waits."""
    lets_reader_sign: bool = False


class HangarInspection(Environment):
    """Inspect one component of an aircraft and decide what is done, with which part, and who signs."""

    instructions = PROCEDURE
    typical_turns = 9

    def __init__(
        self, *, train_tasks: int = 600, validation_tasks: int = 60, test_tasks: int = 180, seed: int = 0
    ) -> None:
        """Take the number of tasks per split and the seed of their worlds."""
        self._sizes = split_sizes("hangar_inspection", train=train_tasks, validation=validation_tasks, test=test_tasks)
        self._seed = seed

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield the tasks of a split; worlds are made when they are asked for."""
        for index in range(self._sizes[split]):
            key = f"{split}-{index}"
            case = make_case(self._seed, key)
            yield Task(
                id=f"hangar-{self._seed}-{key}",
                prompt=case.order.prompt,
                data={"key": key, "gold": asdict(decide(case.order, case.world))},
                split=split,
                cluster=case.world_hash,
            )

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode in the task's world; a tool that is busy once has yet to be called."""
        super().open(task, seed)
        case = make_case(self._seed, task.data["key"])
        self._world, self._busy_tool = case.world, case.busy_tool

    @tool
    def get_aircraft(self, aircraft: str) -> dict[str, Any]:
        """Return one aircraft: its model, base, status, extended range and total cycles.

        Args:
            aircraft: Name of the aircraft.
        """
        return asdict(self._find("get_aircraft", self._world.aircraft, aircraft, f"aircraft {aircraft}"))

    @tool
    def get_component(self, component: str) -> dict[str, Any]:
        """Return one component: its part, kind, serial number, life limit and history.

        Args:
            component: Name of the component.
        """
        return asdict(self._find("get_component", self._world.components, component, f"component {component}"))

    @tool
    def get_readings(self, component: str, page: int = 1) -> dict[str, Any]:
        """Return one page of a component's wear readings, the latest first.

        Args:
            component: Name of the component.
            page: Number of the page, from 1.
        """
        readings = self._find("get_readings", self._world.readings, component, f"component {component}")
        pages = -(-len(readings) // PAGE_SIZE)
        if not 1 <= page <= pages:
            raise ToolError(f"no page {page}: component {component} has pages 1 to {pages}")
        shown = readings[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        return {"page": page, "pages": pages, "readings": [asdict(reading) for reading in shown]}

    @tool
    def get_directives(self, model: str) -> list[dict[str, Any]]:
        """Return the directives issued for an aircraft model.

        Args:
            model: Name of the model.
        """
        return _listed(self._find("get_directives", self._world.directives, model, f"model {model}"))

    @tool
    def get_findings(self, aircraft: str) -> list[dict[str, Any]]:
        """Return the earlier findings on all components of an aircraft, the latest first.

        Args:
            aircraft: Name of the aircraft.
        """
        return _listed(self._find("get_findings", self._world.findings, aircraft, f"aircraft {aircraft}"))

    @tool
    def get_stock(self, part: str) -> list[dict[str, Any]]:
        """Return the lots of a part at every base.

        Args:
            part: Name of the part, as its component states it.
        """
        return _listed(self._find("get_stock", self._world.stock, part, f"part {part}"))

    @tool
    def get_roster(self, base: str, day: str) -> list[dict[str, Any]]:
        """Return the technicians of a base on one day.

        Args:
            base: Name of the base.
            day: The day, as year-month-day.
        """
        return _listed(self._find("get_roster", self._world.rosters, (base, day), f"roster of {base} for {day}"))

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return the share of right fields, less 0.1 when the last reply holds no readable answer block.

        A block inside the reply's reasoning or beside a tool call is not an answer, and a field that nobody asked for
        counts as a wrong one.
        """
        answer = final_answer(episode)
        return with_format(field_accuracy(answer, episode.task.data["gold"]), emitted=answer is not None)

    def oracle(self, task: Task) -> Script:
        """Follow the procedure to the letter."""
        return _inspect(WorkOrder.read(task.prompt), Habits())

    def hurried_inspector(self, task: Task, seed: int) -> Script:
        """Work as an inspector whose habits, each of which rests now and then, are drawn per task and seed.

        No second page of readings is asked for, an aircraft in storage is treated as any other, and whoever took the
        latest reading may sign.
        """
        random = generator("hangar_inspection.hurried_inspector", seed, task.id)
        one_page, from_storage, reader_signs = (random.random() < 0.6 for _ in range(3))
        habits = Habits(reads_one_page=one_page, flies_from_storage=from_storage, lets_reader_sign=reader_signs)
        return _inspect(WorkOrder.read(task.prompt), habits)

    def _find(self, name: str, records: Mapping[Any, Record], key: object, wanted: str) -> Record:
        """Return what a tool is asked for; raises ToolError when it is busy for once, or has no such record."""
        if name == self._busy_tool:
            self._busy_tool = ""
            raise ToolError(BUSY_MESSAGE)
        if key not in records:
            raise ToolError(f"no {wanted}")
        return records[key]


def _inspect(order: WorkOrder, habits: Habits) -> Script:
    """Work a work order through, reading the world through its tools alone."""
    day = order.inspection_date
    aircraft = Aircraft(**(yield from _ask("get_aircraft", aircraft=order.aircraft)))
    component = Component(**(yield from _ask("get_component", component=order.component)))
    remaining = remaining_cycles(aircraft, component)
    readings = yield from _read(order, habits)
    condition = condition_of(aircraft, component.kind, readings, day)
    listed = yield from _ask("get_directives", model=aircraft.model)
    status, directive = directive_of((Directive(**one) for one in listed), component, day)
    repeat = False
    if needs_findings(condition):
        listed = yield from _ask("get_findings", aircraft=order.aircraft)
        repeat = is_repeated((PastFinding(**one) for one in listed), order.component, day)
    action = action_of(
        replace(aircraft, status="line") if habits.flies_from_storage else aircraft,
        condition=condition,
        remaining=remaining,
        directive_status=status,
        directive=directive,
        repeat_finding=repeat,
    )
    source, technician = "not_needed", "none"
    if action == "replace":
        listed = yield from _ask("get_stock", part=component.part)
        source = part_source_of((Lot(**one) for one in listed), aircraft.base, day)
    if action != "hold":
        listed = yield from _ask("get_roster", base=aircraft.base, day=day)
        reader = "" if habits.lets_reader_sign else readings[0].taken_by
        technician = technician_of((Technician(**one) for one in listed), aircraft, action, reader)
    verdict = Verdict(
        condition=condition,
        remaining_cycles=remaining,
        directive_status=status,
        repeat_finding=repeat,
        action=action,
        part_source=source,
        technician=technician,
    )
    yield say(verdict.answer())


def _read(order: WorkOrder, habits: Habits) -> Generator[Message, tuple[Message, ...], list[Reading]]:
    """Ask for pages of readings until enough count, all further ones are too old, or there are no more."""
    readings: list[Reading] = []
    page = pages = 1
    while page <= pages:
        shown = yield from _ask("get_readings", component=order.component, page=page)
        readings += [Reading(**one) for one in shown["readings"]]
        enough = len(counted_readings(readings, order.inspection_date)) == READINGS_NEEDED
        if enough or habits.reads_one_page or not is_recent(readings[-1], order.inspection_date):
            break
        page, pages = page + 1, shown["pages"]
    return readings


def _ask(name: str, /, **arguments: object) -> Lookup:
    """Call a tool until it answers; every other error would be a defect of the script."""
    while True:
        (message,) = yield call(name, **arguments)
        if json.loads(message.content) != {"error": BUSY_MESSAGE}:
            return json.loads(message.content)


def _listed(records: Iterable[Any]) -> list[dict[str, Any]]:
    return [asdict(record) for record in records]
