"""The scorer of calls wants the right answer and exactly the right calls."""

import json
from typing import Any

import pytest

from turnwright.core.episode import Episode, EpisodeKey, ToolOutcome, Turn
from turnwright.core.errors import DatasetError
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Task
from turnwright.evaluation.calls import CallsScorer

ANSWER = '<final_output>{"outcome": "refunded"}</final_output>'
GOLD_CALLS = {"refund": [{"order": 5, "amount": 20}, {"order": 6, "amount": 1}], "escalate": []}
FIRST, SECOND = ("refund", {"amount": 20, "order": 5}), ("refund", {"order": 6, "amount": 1})


def episode(*calls: tuple[str, dict[str, Any]], answer: str = ANSWER, errors: bool = False, **data: Any) -> Episode:
    task = Task(id="t", prompt="p", data={"gold": {"outcome": "refunded"}, "gold_calls": GOLD_CALLS, **data})
    turns = [
        Turn(
            reply=Message(role="assistant", tool_calls=(ToolCall(id="c", name=name, arguments=json.dumps(given)),)),
            tools=(ToolOutcome(name=name, error=errors),),
        )
        for name, given in calls
    ]
    final = Turn(reply=Message(role="assistant", content=answer))
    return Episode(key=EpisodeKey(task_id="t", attempt=0), task=task, opening=(), turns=(*turns, final))


@pytest.mark.parametrize(
    ("calls", "right"),
    [
        ([FIRST, SECOND], True),
        ([SECOND, ("look_up", {}), FIRST], True),
        ([FIRST], False),
        ([FIRST, SECOND, SECOND], False),
        ([FIRST, ("refund", {"order": 6, "amount": 2})], False),
        ([FIRST, SECOND, ("escalate", {})], False),
        ([], False),
    ],
)
def test_exactly_the_right_calls_in_any_order(calls: list[tuple[str, dict[str, Any]]], right: bool) -> None:
    assert CallsScorer().score(episode(*calls)).success == right


def test_the_answer_counts_as_well_and_every_part_is_named() -> None:
    assert CallsScorer().score(episode(FIRST, SECOND)).fields == {"outcome": True, "refund": True, "escalate": True}
    wrong = CallsScorer().score(episode(FIRST, SECOND, ("escalate", {}), answer=ANSWER.replace("refunded", "declined")))
    assert wrong.fields == {"outcome": False, "refund": True, "escalate": False}
    assert not CallsScorer().score(episode(FIRST, SECOND, answer="Done.")).completed


def test_a_call_answered_with_an_error_changed_nothing() -> None:
    assert not CallsScorer().score(episode(FIRST, SECOND, errors=True)).success
    nothing = {"refund": [], "escalate": []}
    assert CallsScorer().score(episode(FIRST, errors=True, gold_calls=nothing)).success


@pytest.mark.parametrize("calls", [None, {}, []])
def test_a_task_without_gold_calls_is_a_defect_of_the_data(calls: object) -> None:
    with pytest.raises(DatasetError, match="must be an object of tool -> list of arguments"):
        CallsScorer().score(episode(gold_calls=calls))
