"""What a reward reads as the answer and what not: one block, outside the reasoning, with the fields asked for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Task
from turnwright.environments.answers import final_answer, is_right, read_answer, right_share
from turnwright.evaluation.scorers import read_answer as read_strictly

BLOCK = '<final_output>{"a": 1}</final_output>'
OTHER = '<final_output>{"a": 2}</final_output>'
FRAGMENTS = (
    BLOCK, OTHER, "<final_output>", "</final_output>", "<think>", "</think>", "</THINK >", "[THINK]", "[/THINK]",
    "<final_decision>", "</final_decision>", "```", "\n", "so 3 < 4 > 1 ", '{"a": 1}', "<b>", "<final_output/>", "nan",
    '<final_output>{"a": NaN}</final_output>', '<final_output>{"a": 1, "a": 1}</final_output>', "</reasoning>",
)  # fmt: skip


def episode(reply: str, *, calls: bool = False) -> Episode:
    tool_calls = (ToolCall(id="c", name="look", arguments="{}"),) if calls else ()
    message = Message(role="assistant", content=reply, tool_calls=tool_calls)
    task = Task(id="t", prompt="", data={"gold": {"a": 1}})
    return Episode(key=EpisodeKey(task_id="t", attempt=0), task=task, opening=(), turns=(Turn(reply=message),))


@pytest.mark.parametrize(
    "text",
    [
        BLOCK,
        f"Thus {BLOCK}.",
        f"```\n{BLOCK}\n```",
        f"<think>{OTHER}</think>{BLOCK}",
        f"[THINK]{OTHER}[/THINK]{BLOCK}",
        f"opened in the prompt {OTHER}</think>\n{BLOCK}",
        f"<Thinking>{OTHER}</Thinking >{BLOCK}",
    ],
)
def test_one_block_outside_the_reasoning_is_the_answer(text: str) -> None:
    assert read_answer(text) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"a": 1}',
        f"<think>{BLOCK}</think>",
        f"<think>{BLOCK}</think> It is 1.",
        f"<think>{BLOCK}",
        f"[THINK]{BLOCK}",
        BLOCK + BLOCK,
        BLOCK + OTHER,
        f"<final_output>{BLOCK}</final_output>",
        f"<answer>{BLOCK}</answer>",
        f"{BLOCK}<final_decision>1</final_decision>",
        '<final_decision>{"a": 1}</final_decision>',
        '<final_output>```json\n{"a": 1}\n```</final_output>',
        '<final_output>{"a": NaN}</final_output>',
        '<final_output>{"a": 1, "a": 2}</final_output>',
        '<final_output>[{"a": 1}]</final_output>',
        "<final_output>" + "[" * 100_000 + "</final_output>",
    ],
)
def test_anything_else_is_no_answer(text: str) -> None:
    assert read_answer(text) is None


def test_block_beside_a_tool_call_is_no_answer() -> None:
    assert final_answer(episode(BLOCK)) == {"a": 1}
    assert final_answer(episode(BLOCK, calls=True)) is None


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=6))
def test_reward_and_strict_scorer_read_the_same(fragments: list[str]) -> None:
    text = "".join(fragments)
    assert final_answer(episode(text)) == read_strictly(episode(text))


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ({"a": "x", "b": True}, 1.0),
        ({"a": " X ", "b": True}, 1.0),
        ({"a": "x"}, 0.5),
        ({"a": "x", "b": 1}, 0.5),
        ({"a": "x", "b": True, "c": "z"}, 2 / 3),
        ({"a": ["x"], "b": "true"}, 0.0),
        (None, 0.0),
    ],
)
def test_share_counts_a_field_nobody_asked_for_as_wrong(answer: dict[str, Any] | None, share: float) -> None:
    assert right_share(answer, {"a": "x", "b": True}) == pytest.approx(share)


@pytest.mark.parametrize(
    ("given_value", "gold", "right"),
    [
        ("no_action", "No Action", True),
        ("no", "No Action", False),
        (3, "3", False),
        (3.0, 3, True),
        (True, 1, False),
        (None, None, True),
        ("N/A", None, True),
        ("", None, False),
        ("x", None, False),
    ],
)
def test_values_compare_by_type(given_value: object, gold: object, right: bool) -> None:
    assert is_right(given_value, gold) is right
