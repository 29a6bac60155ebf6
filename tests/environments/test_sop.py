"""Domain folders become environments: recorded tools, one answer block, public rows for evaluation only."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError
from turnwright.core.message import ToolCall, ToolSpec
from turnwright.environments import ToolCrash, load_environment
from turnwright.environments.answers import read_answer
from turnwright.environments.gallery.returns_desk.generator import generate_folder
from turnwright.environments.sop.environment import SopEnvironment
from turnwright.environments.sop.folder import SopFolder, write_sop_folder
from turnwright.environments.sop.lookups import Cell, Lookup

Play = Callable[..., Episode]

HOLD = ToolSpec(
    name="hold",
    description="Look a hold up.",
    parameters={"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
)
FOLDER = SopFolder(
    name="holds",
    procedure="Look it up in {the} list.",
    tools=(HOLD,),
    input_columns=("id", "note"),
    output_columns=("held",),
    rows={
        "test": (
            {"id": "007", "note": "", "active": "True", "days": "3", "held": "yes"},
            {"id": "008", "note": "late", "active": "False", "days": "4.5", "held": "no"},
            {"id": "008", "note": "again", "active": "True", "days": "", "held": "yes"},
        )
    },
    lookups=(
        Lookup(
            tool="hold",
            match={"id": Cell(column="id"), "active": Cell(column="active", type="boolean")},
            returns={"days held": Cell(column="days", type="number")},
            constants={"unit": "day"},
        ),
    ),
)


def ask(environment: SopEnvironment, **arguments: object) -> object:
    opened = environment.for_episode()
    opened.open(opened.tasks("test")[0], 0)
    request = ToolCall(id="", name=environment.tool_specs()[0].name, arguments=json.dumps(arguments))
    return json.loads(asyncio.run(opened.call_tool(request)).message.content)


def with_lookup(lookup: Lookup) -> SopEnvironment:
    return SopEnvironment(replace(FOLDER, lookups=(lookup,)))


def test_tasks_show_the_input_columns_and_keep_the_label_apart() -> None:
    environment = SopEnvironment(FOLDER)
    first = environment.tasks("test")[0]
    assert first.id == "holds-0"
    assert first.prompt == "id: 007\nnote: "
    assert first.data["gold"] == {"held": "yes"}
    assert first.split == "test"


def test_instructions_hold_the_procedure_and_the_answer_form() -> None:
    text = SopEnvironment(FOLDER).instructions
    assert "<sop>\nLook it up in {the} list.\n</sop>" in text
    assert '<final_output>{"held": "..."}</final_output>' in text


def test_tool_answers_with_typed_cells_and_constants() -> None:
    environment = SopEnvironment(FOLDER)
    assert ask(environment, id="007", active=True) == {"days held": 3.0, "unit": "day"}
    assert ask(environment, id="008", active=True) == {"days held": None, "unit": "day"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "Missing required argument: id"),
        ({"id": "007"}, "Missing required argument: active"),
        ({"id": "009", "active": True}, "no id 009, active True"),
        ({"id": "007", "active": False}, "no id 007, active False"),
        ({"id": "007", "active": 1}, "no id 007, active 1"),
        ({"id": 7, "active": True}, "no id 7, active True"),
    ],
)
def test_call_without_a_record_is_an_error_the_agent_can_read(arguments: dict[str, object], error: str) -> None:
    assert ask(SopEnvironment(FOLDER), **arguments) == {"error": error}


def test_first_of_several_records_answers() -> None:
    environment = with_lookup(Lookup(tool="hold", match={"id": Cell(column="id")}, returns={"x": Cell(column="note")}))
    assert ask(environment, id="008") == {"x": "late"}


def test_whole_number_matches_a_number_cell() -> None:
    environment = with_lookup(
        Lookup(tool="hold", match={"id": Cell(column="days", type="number")}, returns={"x": Cell(column="id")})
    )
    assert ask(environment, id=3) == ask(environment, id=3.0) == {"x": "007"}


def test_lookup_may_answer_where_no_record_matches() -> None:
    environment = with_lookup(Lookup(tool="hold", match={"id": Cell(column="id")}, otherwise={"valid": False}))
    assert ask(environment, id="009") == {"valid": False}


def test_lookup_without_match_answers_from_the_row_of_the_task() -> None:
    environment = with_lookup(Lookup(tool="hold", returns={"held": Cell(column="active", type="boolean")}))
    assert ask(environment, id="anything") == {"held": True}


def test_tool_that_nothing_describes_is_a_finding_and_its_call_is_no_fault_of_the_agent() -> None:
    environment = SopEnvironment(replace(FOLDER, lookups=()))
    assert [(one.code, one.severity, one.where) for one in environment.findings] == [
        ("tool.unanswered", "error", "tool 'hold'")
    ]
    with pytest.raises(ToolCrash, match=r"nothing says what tool 'hold'.*'lookups' in metadata.json"):
        ask(environment, id="007")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_public_rows_are_not_trained_on(split: str) -> None:
    with pytest.raises(DatasetError, match=rf"no '{split}' tasks.*CC BY-NC"):
        SopEnvironment(FOLDER).tasks(split)  # type: ignore[arg-type]


def test_written_folder_loads_by_name_with_its_splits_worlds_and_busy_tools(tmp_path: Path) -> None:
    folder = generate_folder(seed=0, train=120, validation=120, test=120)
    write_sop_folder(folder, tmp_path)
    environment = load_environment(f"sop:{tmp_path}")
    tasks = list(environment.tasks("train"))
    assert [task.cluster for task in tasks] == [row["world"] for row in folder.rows["train"] if row["task"]]
    busy = next(task for task in tasks if folder.rows["train"][task.data["row"]]["busy"] == "get_order")
    opened = environment.for_episode()
    opened.open(busy, 0)
    request = ToolCall(id="", name="get_order", arguments=json.dumps({"order": busy.prompt.removeprefix("order: ")}))
    errors = [asyncio.run(opened.call_tool(request)).outcome.error for _ in range(2)]
    assert errors == [True, False]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('<final_output>{"a": 1}</final_output>', {"a": 1}),
        ('Thus <final_output>\n{"a":\n1}\n</final_output>.', {"a": 1}),
        ('{"a": 1}', None),
        ("<final_output>{'a': 1}</final_output>", None),
        ("<final_output>" + "[" * 100_000 + "</final_output>", None),
        ('<final_output>{"a": 1}</final_output><final_output>{"a": 2}</final_output>', None),
    ],
)
def test_answer_is_the_one_readable_block(text: str, answer: object) -> None:
    assert read_answer(text) == answer
