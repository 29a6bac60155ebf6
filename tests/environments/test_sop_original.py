"""The original's prompt and grader: what it shows, what it reads, and the answers without work that it calls right."""

from pathlib import Path
from typing import Any

import pytest

from environments.sop_domains_made import LOOKUPS, METADATA, ROWS, write_domain
from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Task
from turnwright.environments.answers import read_answer
from turnwright.environments.sop.environment import SopEnvironment
from turnwright.environments.sop.original import is_right, matches, parse, printed_columns

LABELS = ("Account Closure", "No Action", "Temporary Suspension")


def episode(*replies: str | tuple[str, str], gold: dict[str, Any]) -> Episode:
    """Return an episode of final texts, and of (tool, result) pairs."""
    turns = [
        Turn(reply=Message(role="assistant", content=reply))
        if isinstance(reply, str)
        else Turn(
            reply=Message(role="assistant", tool_calls=(ToolCall(id="c", name=reply[0], arguments="{}"),)),
            responses=(Message(role="tool", content=reply[1], tool_call_id="c"),),
        )
        for reply in replies
    ]
    task = Task(id="t", prompt="<sop>follow</sop>", data={"gold": gold})
    opening = (Message(role="user", content=task.prompt),)
    return Episode(key=EpisodeKey(task_id="t", attempt=0), task=task, opening=opening, turns=tuple(turns))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('<final_output>{"action": "No Action"}</final_output>', "no action"),
        ('<final_output>{"action": "a"}</final_output> <FINAL_OUTPUT>{"Action": "b"}</FINAL_OUTPUT>', "b"),
        ("<final_output>No Action</final_output>", "no action"),
        ("so <final_decision> No Action </final_decision>", "no action"),
        ("<final_decision>{'action': 'No Action', 'id': 3}</final_decision>", "no action"),
        ("<output><action>x</action><why>y</why></output>", {"action": "x", "why": "y"}),
        ("<a>1</a><b>2</b>", {"a": "1", "b": "2"}),
        ('it is {"verdict": "No Action", "why": "x"}', "no action"),
        ("it is {'verdict': 'No Action'}", "no action"),
        ("{'verdict': {'x': 1}}", "1"),
        ("{'verdict': ('No Action',), 'x': {}}", "('no action',)"),
        ("Final answer: No Action", "no action"),
        ("x" * 101, "unknown"),
        ("", "unknown"),
    ],
)
def test_answer_is_read_in_the_first_form_that_fits(text: str, read: object) -> None:
    assert parse(text, ("action",)) == read


@pytest.mark.parametrize(
    ("given", "expected", "right"),
    [
        ("no_action", "No Action", True),
        ("No-Action!", "No Action", True),
        ("n", "No Action", True),
        ("not No Action but Account Closure", "No Action", True),
        ("Account Closure", "No Action", False),
        ("unknown", None, True),
        ("N/A", "nan", True),
        ("None", "No Action", False),
        ("true", True, True),
        ("1", 11, True),
    ],
)
def test_values_compare_by_containment(given: str, expected: object, right: bool) -> None:
    assert matches(given, expected) is right


def test_constant_letter_is_always_right_and_never_for_us() -> None:
    """The hole: "o" is in every label."""
    constant = '<final_output>{"action": "o"}</final_output>'
    assert read_answer(constant) == {"action": "o"}
    assert all(is_right(episode(constant, gold={"action": label}), {"action": label}) for label in LABELS)


@pytest.mark.parametrize(
    "answer",
    [
        f"<final_decision>{', '.join(LABELS)}</final_decision>",
        f"<think>{' '.join(LABELS)}</think><final_decision>Warning</final_decision>",
        "<result>no action</result>",
        "not No Action",
    ],
)
def test_attacks_that_the_original_calls_right(answer: str) -> None:
    assert is_right(episode(answer, gold={"action": "No Action"}), {"action": "No Action"})


def test_attempt_that_ends_with_tool_results_has_no_answer() -> None:
    gold = {"action": "No Action"}
    assert not is_right(episode(("look", '"No Action"'), gold=gold), gold)
    assert is_right(episode(("look", "1"), gold={"action": None}), {"action": None})


def test_several_fields_are_read_from_the_tools_and_not_from_the_answer() -> None:
    gold = {"zone": "north", "level": 2}
    tools = (("find_zone", '{"zone": "North", "x": 1}'), ("find_level", '{"level": 2}'))
    assert is_right(episode(*tools, "garbage", gold=gold), gold)
    right = '<final_output>{"zone": "north", "level": 2}</final_output>'
    assert not is_right(episode(right, gold=gold), gold)
    assert not is_right(episode(tools[0], right, gold=gold), gold)


@pytest.mark.parametrize(
    ("cells", "printed"),
    [
        (("007", "12"), ["7", "12"]),
        (("007", ""), ["7.0", "nan"]),
        (("1.50", "2"), ["1.5", "2.0"]),
        (("true", "False"), ["True", "False"]),
        (("x", "", "None", "NA"), ["x", "nan", "nan", "nan"]),
        (("007", "x"), ["007", "x"]),
        (("", ""), ["nan", "nan"]),
        (("9" * 20, "007"), ["9" * 20, "7"]),
        (("9" * 20, ""), ["9" * 20, "nan"]),
        (("-0", ""), ["0.0", "nan"]),
        (("-0", "", "1e5"), ["-0.0", "nan", "100000.0"]),
    ],
)
def test_columns_are_printed_as_the_originals_table_reader_reads_them(
    cells: tuple[str, ...], printed: list[str]
) -> None:
    assert printed_columns([{"c": cell} for cell in cells], ["c"])["c"] == printed


def test_official_mode_shows_every_column_and_asks_for_a_decision(tmp_path: Path) -> None:
    metadata = {"name": "badges", "output_columns": ["decision"]}
    path = write_domain(tmp_path, metadata=metadata, lookups=LOOKUPS)
    official = SopEnvironment(path, mode="official")
    task = official.tasks("test")[1]
    assert (
        "badge: 8\nzone: nan\nlevel: 3\nexpiry: 2020-05-05\nopen_doors: False\nscore: nan\ndecision: refuse"
        in task.prompt
    )
    assert "<sop>\nLook the badge up. Admit, refuse or escort.\n</sop>" in task.prompt
    assert "<final_decision>" in task.prompt
    assert (official.instructions, official.turn_limit) == ("", 10)
    repaired = SopEnvironment(path)
    assert "decision" not in repaired.tasks("test")[1].prompt
    assert repaired.tasks("test")[1].prompt.startswith("badge: 008\nzone: \n")


def test_official_reward_is_the_original_grader(tmp_path: Path) -> None:
    environment = SopEnvironment(write_domain(tmp_path, metadata=METADATA, lookups=LOOKUPS), mode="official")
    gold = {"decision": ROWS[0][-1]}
    assert environment.reward(episode("adm", gold=gold)) == 1.0
    assert environment.reward(episode("refuse", gold=gold)) == 0.0
