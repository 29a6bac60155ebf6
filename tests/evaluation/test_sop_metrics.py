"""Measures of recorded SOP-Bench episodes, by hand: the original's, grounded success, errors and limits."""

import json
from pathlib import Path
from typing import Any

import pytest

from turnwright.core.episode import Episode, EpisodeKey, ToolOutcome, Turn
from turnwright.core.errors import RunDirectoryError
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.outcome import Failed, Outcome, Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.evaluation.evaluator import score_episodes
from turnwright.evaluation.scorers import FinalOutputScorer
from turnwright.evaluation.sop_metrics import is_grounded, measure_sop, original_success
from turnwright.evaluation.store import read_sop_measures

LABELS = ("Account Closure", "No Action", "Temporary Suspension")
SCORER = FinalOutputScorer({"action": LABELS})
LOOK = ToolSpec(name="look", description="Look.", parameters={"type": "object", "properties": {}, "required": []})
NEEDED = [{"tool": "look", "ids": {"account": "A1"}}]


def block(value: str) -> str:
    return f"<final_output>{json.dumps({'action': value})}</final_output>"


def attempt(
    answer: str,
    *calls: tuple[str, dict[str, Any], bool],
    label: str = "No Action",
    outcome: Outcome | None = None,
    needed: list[dict[str, Any]] | None = NEEDED,
    number: int = 0,
) -> Episode:
    """Return an episode that makes calls of (tool, arguments, answered with an error), then answers."""
    turns = [
        Turn(
            reply=Message(role="assistant", tool_calls=(ToolCall(id="c", name=name, arguments=json.dumps(arguments)),)),
            tools=(ToolOutcome(name=name, error=error),),
        )
        for name, arguments, error in calls
    ]
    data = {"gold": {"action": label}, "row": 0} | ({} if needed is None else {"needed": needed})
    return Episode(
        key=EpisodeKey(task_id="t", attempt=number),
        task=Task(id="t", prompt="account: A1", data=data, split="test"),
        opening=(),
        tools=(LOOK,),
        turns=(*turns, *([Turn(reply=Message(role="assistant", content=answer))] if answer else [])),
        outcome=outcome or Rewarded(value=1.0),
    )


RIGHT = ("look", {"account": "A1", "deep": True}, False)


def test_five_attempts_by_hand() -> None:
    episodes = score_episodes(
        [
            attempt(block("No Action"), RIGHT),
            attempt(block("No Action"), ("look", {"account": "A2"}, False), ("look", {"account": "A1"}, True)),
            attempt(block("o"), RIGHT),
            attempt("", RIGHT, RIGHT, outcome=Truncated(value=0.0, cause="max_turns")),
            attempt("", outcome=Failed(cause="tool_error")),
        ],
        SCORER,
    )
    measures = measure_sop("sop:folder", episodes)
    assert measures is not None
    assert measures.attempts == 5
    # The one that failed is not completed; the one cut by the limit is, without an answer.
    assert measures.original_ecr == pytest.approx(4 / 5)
    assert measures.original_c_tsr == pytest.approx(3 / 4)
    assert measures.original_tsr == pytest.approx(3 / 5)
    assert measures.strict_success == pytest.approx(2 / 4)
    assert measures.grounded_success == pytest.approx(1 / 4)
    assert measures.tool_error_fraction == pytest.approx(1 / 6)
    assert measures.turns_mean == pytest.approx((2 + 3 + 2 + 2) / 4)
    assert measures.limit_hit_fraction == pytest.approx(1 / 4)
    assert json.loads(measures.to_json())["original_tsr"] == pytest.approx(0.6)
    assert "as the original does: right (TSR)" in measures.describe()


def test_constant_letter_scores_all_by_the_original_and_nothing_strictly() -> None:
    episodes = score_episodes([attempt(block("o"), label=label, number=i) for i, label in enumerate(LABELS)], SCORER)
    measures = measure_sop("sop:folder", episodes)
    assert measures is not None
    assert (measures.original_tsr, measures.strict_success, measures.grounded_success) == (1.0, 0.0, 0.0)


def test_tool_that_is_not_on_offer_ended_the_original() -> None:
    assert original_success(attempt(block("No Action"), RIGHT))
    assert not original_success(attempt(block("No Action"), ("lock", {}, True)))


def test_grounded_needs_every_tool_with_its_ids_and_an_answer() -> None:
    assert is_grounded(attempt("x", RIGHT))
    assert not is_grounded(attempt("x", ("look", {"account": "A1"}, True)))
    assert not is_grounded(attempt("x", ("look", {"account": "a1"}, False)))
    assert not is_grounded(attempt("x", ("look", {}, False)))
    assert not is_grounded(attempt("x", RIGHT, needed=[*NEEDED, {"tool": "find", "ids": {}}]))
    assert is_grounded(attempt("x", needed=[]))


def test_without_known_solutions_there_is_no_grounded_success() -> None:
    measures = measure_sop("sop:folder", score_episodes([attempt(block("No Action"), needed=None)], SCORER))
    assert measures is not None
    assert measures.grounded_success is None
    assert measures.tool_error_fraction is None


def test_other_environments_are_not_measured() -> None:
    assert measure_sop("returns_desk", [attempt("x")]) is None
    assert measure_sop("sop:folder", []) is None


def test_measures_are_read_back_and_refused_when_broken(tmp_path: Path) -> None:
    measures = measure_sop("sop:folder", score_episodes([attempt(block("No Action"), RIGHT)], SCORER))
    assert measures is not None
    assert read_sop_measures(tmp_path) is None
    (tmp_path / "sop.json").write_text(measures.to_json())
    assert read_sop_measures(tmp_path) == measures
    (tmp_path / "sop.json").write_text('{"attempts": 1}')
    with pytest.raises(RunDirectoryError, match=r"sop\.json"):
        read_sop_measures(tmp_path)
