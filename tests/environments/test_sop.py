"""Domain folders become environments: recorded tools, one answer block, public rows for evaluation only."""

import asyncio
import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.message import ToolCall, ToolSpec
from turnwright.environments import load_environment, read_reward
from turnwright.environments.returns_desk.generator import generate_folder
from turnwright.environments.sop import SopEnvironment, read_answer
from turnwright.environments.sop_folder import Cell, Lookup, SopFolder, write_sop_folder

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


def test_tool_that_nothing_describes_is_refused_by_name() -> None:
    with pytest.raises(EnvironmentLoadError, match=r"nothing says what hold answers.*lookups"):
        SopEnvironment(replace(FOLDER, lookups=()))


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


needs_sop_bench = pytest.mark.skipif("SOP_BENCH_DIR" not in os.environ, reason="SOP_BENCH_DIR names no checkout")


def public(domain: str) -> str:
    return str(Path(os.environ["SOP_BENCH_DIR"]) / domain)


@needs_sop_bench
@pytest.mark.parametrize(
    ("domain", "solved", "tasks", "turn_limit"),
    [
        ("referral_abuse_detection_v1", 200, 200, 6),
        ("traffic_spoofing_detection", 161, 200, 11),
        ("customer_service", 156, 156, 14),
    ],
)
def test_oracle_solves_what_the_rules_of_a_public_domain_can(
    domain: str, solved: int, tasks: int, turn_limit: int, play: Play
) -> None:
    environment = load_environment(f"sop:{public(domain)}")
    episodes = [play(environment, task) for task in environment.tasks("test")]
    values = [read_reward(environment.reward(episode), num_turns=len(episode.turns)).value for episode in episodes]
    assert (values.count(1.0), len(values), environment.turn_limit) == (solved, tasks, turn_limit)
    assert all(len(episode.turns) <= turn_limit for episode in episodes)
    assert not any(outcome.error for episode in episodes for turn in episode.turns for outcome in turn.tools)


@needs_sop_bench
@pytest.mark.parametrize("domain", ["referral_abuse_detection_v1", "traffic_spoofing_detection", "customer_service"])
def test_public_tasks_hold_the_labels_of_the_table_and_never_show_them(domain: str) -> None:
    environment = load_environment(f"sop:{public(domain)}")
    assert isinstance(environment, SopEnvironment)
    (output,) = environment.folder.output_columns
    with (Path(public(domain)) / "test_set_with_outputs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [task.data["gold"][output] for task in environment.tasks("test")] == [row[output] for row in rows]
    assert not any(f"{output}:" in task.prompt for task in environment.tasks("test"))
    assert environment.findings == ()


@needs_sop_bench
def test_public_account_is_investigated_with_typed_facts() -> None:
    environment = load_environment(f"sop:{public('referral_abuse_detection_v1')}")
    assert isinstance(environment, SopEnvironment)
    assert ask(environment) == {"error": "Missing required argument: account_id"}
    assert ask(environment, account_id="ACC0") == {"error": "no account_id ACC0"}
    found = ask(environment, account_id=environment.tasks("test")[0].prompt.removeprefix("account_id: "))
    assert isinstance(found, dict)
    assert {key: type(value) for key, value in found.items()} == {
        "account_id": str,
        "address_validity": bool,
        "email_pattern_suspicious": bool,
        "website_verified": bool,
        "business_description": str,
        "account_status": str,
        "connected_accounts": int,
        "login_geographic_consistency": bool,
    }


@needs_sop_bench
def test_public_domain_whose_tools_compute_is_refused() -> None:
    with pytest.raises(EnvironmentLoadError, match=r"order_fulfillment.*check_inventory"):
        load_environment(f"sop:{public('order_fulfillment')}")
