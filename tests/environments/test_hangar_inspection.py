"""The hangar's rules by hand-checked cases; its worlds are disjoint, deterministic and solvable through the tools."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

import pytest

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.errors import ConfigError
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Split, Task
from turnwright.environments import load_environment, read_reward, say
from turnwright.environments.gallery.hangar_inspection.environment import BUSY_MESSAGE, HangarInspection
from turnwright.environments.gallery.hangar_inspection.generator import TOOL_NAMES, Case, make_case
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
    World,
)
from turnwright.environments.gallery.hangar_inspection.rules import WEAR_LIMITS, Verdict, decide
from turnwright.evaluation.scorers import FinalOutputScorer, collect_vocabulary

Play = Callable[..., Episode]

HANGAR = HangarInspection(train_tasks=160, validation_tasks=40, test_tasks=80)
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TASKS = {split: tuple(HANGAR.tasks(split)) for split in SPLITS}
ALL = [task for tasks in TASKS.values() for task in tasks]

DAY = date(2031, 4, 18)
ORDER = WorkOrder(aircraft="A100", component="C100", inspection_date="2031-04-18")


def on(days: int) -> str:
    """Return the day so many days after the inspection; before it where negative."""
    return (DAY + timedelta(days=days)).isoformat()


def readings(text: str) -> tuple[Reading, ...]:
    """Read ``age:wear`` words, void where they end in v; T50 took the first, T51 the others."""
    words = [word.split(":") for word in text.split()]
    return tuple(
        Reading(
            taken_on=on(-int(age)),
            taken_by="T51" if index else "T50",
            wear=int(wear.removesuffix("v")),
            status="void" if wear.endswith("v") else "ok",
        )
        for index, (age, wear) in enumerate(words)
    )


def directive(name: str = "D1", **changes: Any) -> Directive:
    """Return one that applies, is not met and is due in 90 days, but for the changes."""
    plain = Directive(
        directive=name,
        kind="pump",
        first_serial=1000,
        last_serial=3000,
        issued_on=on(-50),
        due_on=on(90),
        requires="repair",
    )
    return replace(plain, **changes)


def finding(age: int, code: str = "leak", outcome: str = "fixed", component: str = "C100") -> PastFinding:
    return PastFinding(finding="F1", component=component, code=code, found_on=on(-age), outcome=outcome)


def lot(base: str, quantity: int = 1, reserved: int = 0, expires: int = 100) -> Lot:
    return Lot(lot="L1", base=base, quantity=quantity, reserved=reserved, expires_on=on(expires))


def technician(name: str, licence: str, tasks: int, **changes: Any) -> Technician:
    plain = Technician(technician=name, licence=licence, shift="day", models=("HX-200", "HX-400"), open_tasks=tasks)
    return replace(plain, **changes)


AIRCRAFT = Aircraft(
    aircraft="A100", model="HX-200", base="north", status="line", extended_range=False, total_cycles=10000
)
COMPONENT = Component(
    component="C100",
    aircraft="A100",
    part="P100",
    kind="pump",
    serial=2000,
    installed_on=on(-300),
    aircraft_cycles_at_installation=9000,
    cycles_carried=500,
    life_limit=8000,
    overhauled_on=on(-100),
)
ROSTER = (technician("T10", "A", 1), technician("T20", "B", 2), technician("T30", "C", 3))
RELEASED = Verdict(
    condition="good",
    remaining_cycles=6500,
    directive_status="none",
    repeat_finding=False,
    action="release",
    part_source="not_needed",
    technician="T10",
)
"""The verdict on the plain world."""

WORN, OUT = "0:60 10:60 20:60", "0:90 10:90 20:90"
REPAIR = {"action": "repair", "technician": "T20"}
REPLACE = {"action": "replace", "part_source": "base", "technician": "T30"}
HOLD = {"action": "hold", "technician": "none"}
MONITOR = {"condition": "worn", "action": "monitor"}
REPEATED = {"condition": "worn", "repeat_finding": True, **REPLACE}
REPLACE_OUT = {"condition": "out_of_limits", **REPLACE}
STORAGE = {"status": "storage"}
FAR = {"extended_range": True}

# What differs from the plain world, and what differs from its verdict.
CASES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "plain": ({}, {}),
    # Step 2
    "no life limit": ({"component": {"life_limit": None}}, {"remaining_cycles": None}),
    "double count": ({"aircraft": {"model": "HX-400"}}, {"remaining_cycles": 5500}),
    "carried cycles count once": (
        {"aircraft": {"model": "HX-400"}, "component": {"cycles_carried": 3000}},
        {"remaining_cycles": 3000},
    ),
    "zero left": ({"component": {"cycles_carried": 7000}}, {"remaining_cycles": 0, **REPLACE}),
    "less than none left": ({"component": {"cycles_carried": 7040}}, {"remaining_cycles": -40, **REPLACE}),
    "one left": ({"component": {"cycles_carried": 6999}}, {"remaining_cycles": 1}),
    # Step 3
    "mean at lower limit": ({"readings": "0:54 10:55 20:56"}, {}),
    "mean just above lower limit": ({"readings": "0:54 10:55 20:57"}, MONITOR),
    "mean at upper limit": ({"readings": "0:80 10:80 20:80"}, MONITOR),
    "mean just above upper limit": ({"readings": "0:80 10:80 20:81"}, REPLACE_OUT),
    "only the latest three": ({"readings": "0:50 10:50 20:50 30:99 40:99"}, {}),
    "void does not count": ({"readings": "0:99v 10:50 20:50 30:50"}, {}),
    "365 days still counts": ({"readings": "0:50 10:50 365:50"}, {}),
    "366 days does not": ({"readings": "0:50 10:50 366:50"}, {"condition": "unproven", "action": "reinspect"}),
    "void leaves too few": ({"readings": "0:50 10:50 20:50v"}, {"condition": "unproven", "action": "reinspect"}),
    "extended range, at the lowered limit": ({"aircraft": FAR}, {}),
    "extended range, above the lowered limit": (
        {"aircraft": FAR, "readings": "0:50 10:50 20:51"},
        {"condition": "worn", "action": "repair", "technician": "T30"},
    ),
    "extended range, lowered upper limit": (
        {"aircraft": FAR, "readings": "0:76 10:75 20:75"},
        REPLACE_OUT,
    ),
    "other kind, other limits": ({"component": {"kind": "valve"}}, REPLACE_OUT),
    "the highest limits": ({"component": {"kind": "gearbox"}, "readings": "0:70 10:70 20:70"}, {}),
    # Step 4
    "directive of another kind": ({"directives": [directive(kind="valve", due_on=on(-1))]}, {}),
    "serial below": ({"directives": [directive(first_serial=2001, due_on=on(-1))]}, {}),
    "serial above": ({"directives": [directive(last_serial=1999, due_on=on(-1))]}, {}),
    "first serial included": ({"directives": [directive(first_serial=2000)]}, {"directive_status": "open"}),
    "last serial included": ({"directives": [directive(last_serial=2000)]}, {"directive_status": "open"}),
    "overhauled on the day of issue": (
        {"directives": [directive(issued_on=on(-100))]},
        {"directive_status": "complied"},
    ),
    "overhauled the day before": ({"directives": [directive(issued_on=on(-99))]}, {"directive_status": "open"}),
    "never overhauled": (
        {"component": {"overhauled_on": None}, "directives": [directive(issued_on=on(-400))]},
        {"directive_status": "open"},
    ),
    "overhaul does not meet replace": (
        {"directives": [directive(issued_on=on(-150), requires="replace")]},
        {"directive_status": "open"},
    ),
    "installation meets replace": (
        {"directives": [directive(issued_on=on(-300), requires="replace")]},
        {"directive_status": "complied"},
    ),
    "overdue": ({"directives": [directive(due_on=on(-1))]}, {"directive_status": "overdue", **REPAIR}),
    "due today": ({"directives": [directive(due_on=on(0))]}, {"directive_status": "due", **REPAIR}),
    "due in 30 days": ({"directives": [directive(due_on=on(30))]}, {"directive_status": "due", **REPAIR}),
    "due in 31 days": ({"directives": [directive(due_on=on(31))]}, {"directive_status": "open"}),
    "one due first": (
        {"directives": [directive("D1"), directive("D2", due_on=on(-9), requires="replace")]},
        {"directive_status": "overdue", **REPLACE},
    ),
    "the one met does not count": (
        {"directives": [directive("D1", issued_on=on(-200), due_on=on(-9)), directive("D2")]},
        {"directive_status": "open"},
    ),
    "two on one day": (
        {"directives": [directive("D9", due_on=on(5), requires="replace"), directive("D2", due_on=on(5))]},
        {"directive_status": "due", **REPAIR},
    ),
    # Step 5
    "found twice": ({"readings": WORN, "findings": [finding(9), finding(99)]}, REPEATED),
    "two codes": ({"readings": WORN, "findings": [finding(9), finding(99, "crack")]}, MONITOR),
    "no fault": ({"readings": WORN, "findings": [finding(9), finding(99, outcome="no_fault")]}, MONITOR),
    "another component": ({"readings": WORN, "findings": [finding(9), finding(99, component="C1")]}, MONITOR),
    "180 days ago": ({"readings": WORN, "findings": [finding(9), finding(180)]}, REPEATED),
    "181 days ago": ({"readings": WORN, "findings": [finding(9), finding(181)]}, MONITOR),
    "good, findings do not matter": ({"findings": [finding(9), finding(99)]}, {}),
    "out of limits and found twice": (
        {"readings": OUT, "findings": [finding(9), finding(99)]},
        {**REPLACE_OUT, "repeat_finding": True},
    ),
    # Step 6, what comes first
    "no cycles before unproven": (
        {"component": {"cycles_carried": 7000}, "readings": "0:50"},
        {"condition": "unproven", "remaining_cycles": 0, **REPLACE},
    ),
    "unproven before overdue": (
        {"readings": "0:50", "directives": [directive(due_on=on(-1))]},
        {"condition": "unproven", "directive_status": "overdue", "action": "reinspect"},
    ),
    "out of limits before overdue": (
        {"readings": OUT, "directives": [directive(due_on=on(-1))]},
        {"directive_status": "overdue", **REPLACE_OUT},
    ),
    "overdue before repeat": (
        {"readings": WORN, "findings": [finding(9), finding(99)], "directives": [directive(due_on=on(-1))]},
        {"condition": "worn", "repeat_finding": True, "directive_status": "overdue", **REPAIR},
    ),
    "few cycles before due": (
        {
            "readings": WORN,
            "component": {"cycles_carried": 6501},
            "directives": [directive(due_on=on(5), requires="replace")],
        },
        {"condition": "worn", "remaining_cycles": 499, "directive_status": "due", **REPAIR},
    ),
    "500 cycles are not few": (
        {"readings": WORN, "component": {"cycles_carried": 6500}},
        {**MONITOR, "remaining_cycles": 500},
    ),
    "no life limit is not few": (
        {"readings": WORN, "component": {"life_limit": None}},
        {**MONITOR, "remaining_cycles": None},
    ),
    "due before monitor": (
        {"readings": WORN, "directives": [directive(due_on=on(5), requires="replace")]},
        {"condition": "worn", "directive_status": "due", **REPLACE},
    ),
    "storage puts release off": ({"aircraft": STORAGE}, HOLD),
    "storage puts monitor off": ({"aircraft": STORAGE, "readings": WORN}, {"condition": "worn", **HOLD}),
    "storage puts repair off": (
        {"aircraft": STORAGE, "directives": [directive(due_on=on(-1))]},
        {"directive_status": "overdue", **HOLD},
    ),
    "replaced in storage too": ({"aircraft": STORAGE, "readings": OUT}, REPLACE_OUT),
    "reinspected in storage too": (
        {"aircraft": STORAGE, "readings": "0:50"},
        {"condition": "unproven", "action": "reinspect"},
    ),
    # Step 7
    "all reserved": ({"readings": OUT, "lots": [lot("north", 2, 2)]}, {**REPLACE_OUT, "part_source": "order"}),
    "expired yesterday": (
        {"readings": OUT, "lots": [lot("north", expires=-1), lot("east")]},
        {**REPLACE_OUT, "part_source": "transfer"},
    ),
    "expires today": ({"readings": OUT, "lots": [lot("east"), lot("north", expires=0)]}, REPLACE_OUT),
    "no lot at all": ({"readings": OUT, "lots": []}, {**REPLACE_OUT, "part_source": "order"}),
    # Step 8
    "off shift": ({"roster": [technician("T10", "A", 1, shift="off"), *ROSTER[1:]]}, {"technician": "T20"}),
    "night is a shift": ({"roster": [technician("T10", "A", 1, shift="night"), *ROSTER[1:]]}, {}),
    "not rated": ({"roster": [technician("T10", "A", 1, models=("HX-300",)), *ROSTER[1:]]}, {"technician": "T20"}),
    "fewest tasks, higher licence": ({"roster": [*ROSTER, technician("T40", "C", 0)]}, {"technician": "T40"}),
    "as few tasks": ({"roster": [technician("T40", "B", 1), *ROSTER]}, {}),
    "who measured last": ({"roster": [technician("T50", "C", 0), *ROSTER]}, {}),
    "who measured last, though void": (
        {"roster": [technician("T50", "C", 0), *ROSTER], "readings": "0:99v 10:50 20:50 30:50"},
        {},
    ),
    "who measured before may sign": ({"roster": [technician("T51", "C", 0), *ROSTER]}, {"technician": "T51"}),
    "nobody": ({"readings": OUT, "roster": ROSTER[:2]}, {**REPLACE_OUT, "technician": "none"}),
}


def world_with(changes: Mapping[str, Any]) -> World:
    aircraft = replace(AIRCRAFT, **changes.get("aircraft", {}))
    return World(
        aircraft={"A100": aircraft},
        components={"C100": replace(COMPONENT, **changes.get("component", {}))},
        readings={"C100": readings(changes.get("readings", "0:50 10:50 20:50"))},
        directives={aircraft.model: tuple(changes.get("directives", ()))},
        findings={"A100": tuple(changes.get("findings", ()))},
        stock={"P100": tuple(changes.get("lots", (lot("north"),)))},
        rosters={("north", ORDER.inspection_date): tuple(changes.get("roster", ROSTER))},
    )


def case_of(task: Task) -> Case:
    return make_case(0, task.data["key"])


def ask(environment: HangarInspection, tool: str, **arguments: object) -> Any:
    call = ToolCall(id="", name=tool, arguments=json.dumps(arguments))
    return json.loads(asyncio.run(environment.call_tool(call)).message.content)


def said(task: Task, text: str) -> Episode:
    key = EpisodeKey(task_id=task.id, attempt=0)
    return Episode(key=key, task=task, opening=(), turns=(Turn(reply=say(text)),))


def rewarded(task: Task, text: str) -> float:
    return read_reward(HANGAR.reward(said(task, text)), num_turns=1).value


def block(fields: Mapping[str, Any]) -> str:
    return f"<final_output>{json.dumps(fields)}</final_output>"


@pytest.mark.parametrize("name", CASES)
def test_rules_decide_as_worked_out_by_hand(name: str) -> None:
    changes, expected = CASES[name]
    assert asdict(decide(ORDER, world_with(changes))) == {**asdict(RELEASED), **expected}


def test_the_procedure_is_full_size_and_states_what_the_rules_apply() -> None:
    assert len(PROCEDURE.split()) > 1000
    for kind, (lower, upper) in WEAR_LIMITS.items():
        assert f"{kind} {lower} {upper}" in " ".join(PROCEDURE.split())
    for tool in TOOL_NAMES:
        assert f"- {tool}(" in PROCEDURE
    labels = {str(value) for task in ALL for name, value in task.data["gold"].items() if isinstance(value, str)}
    for label in labels - {task.data["gold"]["technician"] for task in ALL}:
        assert label in PROCEDURE
    assert [spec.name for spec in HANGAR.tool_specs()] == list(TOOL_NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_the_oracle_solves_every_task_for_reward_and_scorer(split: Split, play: Play) -> None:
    scorer = FinalOutputScorer(collect_vocabulary(TASKS[split]))
    for task in TASKS[split]:
        episode = play(HANGAR, task)
        assert HANGAR.reward(episode) == {"total": 1.0, "field_accuracy": 1.0, "emitted": 1.0}
        assert scorer.score(episode).success
        assert len(episode.turns) <= HANGAR.turn_limit


@pytest.mark.slow
def test_typical_turns_are_what_nine_in_ten_need(play: Play) -> None:
    turns = sorted(len(play(HANGAR, task).turns) for task in ALL)
    assert turns[len(turns) * 9 // 10] == HANGAR.typical_turns
    assert turns[0] == 5
    assert HANGAR.turn_limit == 14


def test_the_oracle_calls_what_the_facts_ask_for_and_nothing_else(play: Play) -> None:
    pages = Counter[int]()
    for task in ALL:
        gold = task.data["gold"]
        called = Counter(call.name for turn in play(HANGAR, task).turns for call in turn.reply.tool_calls)
        assert ("get_findings" in called) == (gold["condition"] in ("worn", "out_of_limits"))
        assert ("get_stock" in called) == (gold["action"] == "replace")
        assert ("get_roster" in called) == (gold["action"] != "hold")
        pages[called["get_readings"] - (case_of(task).busy_tool == "get_readings")] += 1
    assert set(pages) == {1, 2, 3}
    assert pages[1] < 0.75 * len(ALL)


def test_ids_and_worlds_are_disjoint_between_tasks_and_splits() -> None:
    assert len({task.id for task in ALL}) == len({task.cluster for task in ALL}) == len(ALL) == 280
    assert len({task.prompt for task in ALL}) == len(ALL)
    case = case_of(ALL[0])
    other = replace(case.world, aircraft={**case.world.aircraft, "A1": AIRCRAFT})
    assert replace(case, world=other).world_hash != case.world_hash


def test_tasks_depend_on_the_seed_alone_and_not_on_the_size() -> None:
    again = HangarInspection(train_tasks=20, validation_tasks=0, test_tasks=0)
    make_case.cache_clear()
    assert tuple(again.tasks("train")) == TASKS["train"][:20]
    assert not tuple(again.tasks("test"))
    elsewhere = HangarInspection(train_tasks=20, seed=1)
    assert not {task.cluster for task in elsewhere.tasks("train")} & {task.cluster for task in ALL}


@pytest.mark.slow
def test_the_prompt_names_the_work_order_and_nothing_else() -> None:
    for task in ALL:
        order = case_of(task).order
        assert WorkOrder.read(task.prompt) == order
        assert task.prompt.split() == [
            "aircraft:",
            order.aircraft,
            "component:",
            order.component,
            "inspection_date:",
            order.inspection_date,
        ]


def test_no_field_is_settled_by_one_guess() -> None:
    most = {"condition": 0.5, "directive_status": 0.35, "repeat_finding": 0.85, "action": 0.55, "part_source": 0.65}
    for name, share in {**most, "technician": 0.4, "remaining_cycles": 0.35}.items():
        counts = Counter(task.data["gold"][name] for task in ALL)
        assert counts.most_common(1)[0][1] / len(ALL) < share, counts
    assert {task.data["gold"]["action"] for task in ALL} == {
        "release", "monitor", "repair", "replace", "reinspect", "hold"
    }  # fmt: skip
    whole = Counter(json.dumps(task.data["gold"]) for task in ALL)
    assert whole.most_common(1)[0][1] / len(ALL) < 0.03


def test_answers_without_work_stay_low() -> None:
    constant = {
        name: Counter(task.data["gold"][name] for task in ALL).most_common(1)[0][0] for name in asdict(RELEASED)
    }
    earned = [rewarded(task, block(constant)) for task in ALL]
    assert sum(earned) / len(ALL) < 0.5
    assert not any(reward == 1.0 for reward in earned)
    for task in TASKS["test"]:
        assert rewarded(task, f"{PROCEDURE}\n{task.prompt}") == 0.0
        assert rewarded(task, "") == pytest.approx(-0.1)


def test_the_reward_is_dense_and_never_above_the_strict_scorer() -> None:
    task = next(task for task in ALL if task.data["gold"]["remaining_cycles"] is not None)
    scorer = FinalOutputScorer(collect_vocabulary(ALL))
    gold = dict(task.data["gold"])
    wrong = gold | {"repeat_finding": not gold["repeat_finding"], "technician": "T99"}
    listed = {name: str([value]) if isinstance(value, str) else value for name, value in gold.items()}
    expected = {
        block(gold): 1.0,
        f"Done.\n{block(gold)}": 1.0,
        block({name: value.upper() if isinstance(value, str) else value for name, value in gold.items()}): 1.0,
        f"<think>{block(wrong)}</think>{block(gold)}": 1.0,
        block(wrong): 5 / 7,
        block({"action": gold["action"]}): 1 / 7,
        block(gold | {"remark": "fine"}): 7 / 8,
        block(gold | {"repeat_finding": int(gold["repeat_finding"])}): 6 / 7,
        block(gold | {"remaining_cycles": str(gold["remaining_cycles"])}): 6 / 7,
        block(listed): 2 / 7,
        block({}): 0.0,
        block(gold) * 2: -0.1,
        f"<think>{block(gold)}</think>": -0.1,
        f"<reasoning>{block(gold)}</reasoning>": -0.1,
        block(gold).replace("final_output", "final_response"): -0.1,
        json.dumps(gold): -0.1,
        "<final_output>[1]</final_output>": -0.1,
    }
    for text, reward in expected.items():
        assert rewarded(task, text) == pytest.approx(reward), text
        assert (reward == 1.0) == scorer.score(said(task, text)).success


def test_an_answer_beside_a_tool_call_is_none() -> None:
    task = ALL[0]
    answered = say(block(task.data["gold"]))
    calling = replace(answered, tool_calls=(ToolCall(id="c", name="get_stock", arguments="{}"),))
    episode = replace(said(task, ""), turns=(Turn(reply=calling),))
    assert HANGAR.reward(episode)["total"] == pytest.approx(-0.1)
    assert HANGAR.reward(replace(episode, turns=()))["emitted"] == 0.0
    assert HANGAR.reward(replace(episode, turns=(Turn(reply=calling), Turn(reply=answered))))["total"] == 1.0


def test_tools_know_the_records_of_the_world_and_say_what_they_do_not_know() -> None:
    task = next(task for task in ALL if not case_of(task).busy_tool)
    hangar, world, order = HANGAR.for_episode(), case_of(task).world, case_of(task).order
    hangar.open(task, 0)
    base, model = world.aircraft[order.aircraft].base, world.aircraft[order.aircraft].model
    assert Aircraft(**ask(hangar, "get_aircraft", aircraft=order.aircraft)) == world.aircraft[order.aircraft]
    assert Component(**ask(hangar, "get_component", component=order.component)) == world.components[order.component]
    assert len(ask(hangar, "get_directives", model=model)) == len(world.directives[model])
    assert len(ask(hangar, "get_roster", base=base, day=order.inspection_date)) == 6
    assert ask(hangar, "get_stock", part="P1") == {"error": "no part P1"}
    assert ask(hangar, "get_aircraft", aircraft="A1") == {"error": "no aircraft A1"}
    assert ask(hangar, "get_roster", base=base, day="2001-01-01") == {"error": f"no roster of {base} for 2001-01-01"}
    assert "Argument page must be integer" in ask(hangar, "get_readings", component="C1", page="2")["error"]


def test_readings_come_in_pages_the_latest_first() -> None:
    task = next(task for task in ALL if not case_of(task).busy_tool)
    hangar, order = HANGAR.for_episode(), case_of(task).order
    hangar.open(task, 0)
    held = case_of(task).world.readings[order.component]
    first = ask(hangar, "get_readings", component=order.component)
    shown = [ask(hangar, "get_readings", component=order.component, page=1 + page) for page in range(first["pages"])]
    assert shown[0] == first
    assert tuple(Reading(**one) for page in shown for one in page["readings"]) == held
    assert [one.taken_on for one in held] == sorted((one.taken_on for one in held), reverse=True)
    for page in (0, first["pages"] + 1):
        refused = ask(hangar, "get_readings", component=order.component, page=page)
        assert refused == {"error": f"no page {page}: component {order.component} has pages 1 to {first['pages']}"}


def test_a_busy_tool_answers_the_second_time_in_every_episode(play: Play) -> None:
    busy = Counter(case_of(task).busy_tool for task in ALL)
    assert set(busy) == {"", *TOOL_NAMES}
    assert 0.5 < busy[""] / len(ALL) < 0.7
    task = next(task for task in ALL if case_of(task).busy_tool == "get_component")
    hangar, component = HANGAR.for_episode(), case_of(task).order.component
    for _ in range(2):
        hangar.open(task, 0)
        assert ask(hangar, "get_component", component=component) == {"error": BUSY_MESSAGE}
        assert ask(hangar, "get_component", component=component)["component"] == component
    assert sum(outcome.error for turn in play(HANGAR, task).turns for outcome in turn.tools) == 1


def test_the_same_actions_get_the_same_answers(play: Play) -> None:
    def messages(task: Task) -> list[Message]:
        return [message for turn in play(HANGAR, task).turns for message in (turn.reply, *turn.responses)]

    first = [messages(task) for task in TASKS["validation"]]
    make_case.cache_clear()
    assert [messages(task) for task in reversed(TASKS["validation"])][::-1] == first


@pytest.mark.slow
def test_the_hurried_inspector_is_right_now_and_then(play: Play) -> None:
    def answers(seed: int) -> list[str]:
        return [play(HANGAR, task, "hurried_inspector", seed=seed).answer for task in ALL]

    first = answers(1)
    earned = [rewarded(task, answer) for task, answer in zip(ALL, first, strict=True)]
    assert 0.4 < sum(reward == 1.0 for reward in earned) / len(ALL) < 0.7
    assert 0.7 < sum(earned) / len(ALL) < 0.95
    assert HANGAR.demonstrators() == ("hurried_inspector",)
    assert answers(1) == first != answers(2)


def test_the_built_in_name_takes_options_and_refuses_a_negative_size() -> None:
    environment = load_environment("hangar_inspection", {"train_tasks": 3, "seed": 4})
    assert len(list(environment.tasks("train"))) == 3
    with pytest.raises(ConfigError, match="hangar_inspection: test_tasks = -1: expected 0 or more"):
        HangarInspection(test_tasks=-1)
