"""The strict grader: what passes, what does not, and the attacks that fooled graders in the wild."""

from typing import Any

import pytest

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.errors import DatasetError
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.evaluation.scorers import FinalDecisionScorer, FinalOutputScorer, RewardScorer, collect_vocabulary

LABELS = ("Account Closure", "No Action", "Temporary Suspension")
GOLD = {"decision": "No Action", "severity": "low"}
SCORER = FinalOutputScorer({"decision": LABELS, "severity": ("low", "high")})
RIGHT = '{"decision": "No Action", "severity": "low"}'


def block(body: str) -> str:
    return f"<final_output>{body}</final_output>"


def episode(*replies: str | Message, gold: Any = None) -> Episode:
    messages = [reply if isinstance(reply, Message) else Message(role="assistant", content=reply) for reply in replies]
    return Episode(
        key=EpisodeKey(task_id="t", attempt=0),
        task=Task(id="t", prompt="decide", data={"gold": GOLD if gold is None else gold}, split="test"),
        opening=(Message(role="user", content="decide"),),
        turns=tuple(Turn(reply=message) for message in messages),
        outcome=Rewarded(value=1.0),
    )


def test_right_answer_succeeds() -> None:
    score = SCORER.score(episode(block(RIGHT)))
    assert score.success
    assert score.completed
    assert score.fields == {"decision": True, "severity": True}


@pytest.mark.parametrize("label", ["no action", " NO_ACTION ", "No-Action"])
def test_labels_compare_after_casefold_trim_and_separators(label: str) -> None:
    assert SCORER.score(episode(block(f'{{"decision": "{label}", "severity": "low"}}'))).success


def test_one_wrong_field_fails_the_task_but_not_the_other_field() -> None:
    score = SCORER.score(episode(block('{"decision": "No Action", "severity": "high"}')))
    assert not score.success
    assert score.completed
    assert score.fields == {"decision": True, "severity": False}


def test_missing_key_is_wrong_and_extra_key_is_no_success() -> None:
    missing = SCORER.score(episode(block('{"decision": "No Action"}')))
    assert missing.fields == {"decision": True, "severity": False}
    assert not missing.success
    extra = SCORER.score(episode(block('{"decision": "No Action", "severity": "low", "why": "x"}')))
    assert not extra.success


def test_prose_around_the_block_is_not_read() -> None:
    assert SCORER.score(episode(f"Account Closure is too hard, 3 < 4.\n{block(RIGHT)}\nDone.")).success


@pytest.mark.parametrize(
    "reply",
    [
        "",
        RIGHT,
        "<final_output>" + RIGHT,
        block(RIGHT) + block(RIGHT),
        block("<final_output>" + RIGHT),
        block(block(RIGHT)),
        block(RIGHT) + "</final_output>",
        block(RIGHT) + "<final_decision>Account Closure</final_decision>",
        "<note>" + block(RIGHT) + "</note>",
        block(f"```json\n{RIGHT}\n```"),
        block('{"decision": "Account Closure", "decision": "No Action", "severity": "low"}'),
        block('{"decision": "No Action", "severity": NaN}'),
        block('{"decision": "No Action", "severity": Infinity}'),
        block(f"[{RIGHT}]"),
        block(RIGHT + RIGHT),
        block("[" * 100_000),
        block("{'decision': 'No Action', 'severity': 'low'}"),
        "<FINAL_OUTPUT>" + RIGHT + "</FINAL_OUTPUT>",
        "<think>unfinished " + block(RIGHT),
        "<think>" + block(RIGHT) + "</think>",
        "[THINK]" + block(RIGHT) + "[/THINK] done",
        "[THINK]" + block(RIGHT),
        "<Reasoning >" + block(RIGHT) + "</Reasoning >",
    ],
)
def test_what_is_not_exactly_one_block_with_one_object_is_not_completed(reply: str) -> None:
    score = SCORER.score(episode(reply))
    assert not score.success
    assert not score.completed
    assert score.fields == {"decision": False, "severity": False}


def test_only_the_last_reply_counts() -> None:
    assert not SCORER.score(episode(block(RIGHT), "thank you")).completed
    assert SCORER.score(episode("let me see", block(RIGHT))).success


def test_a_reply_that_still_calls_a_tool_is_no_answer() -> None:
    calls = (ToolCall(id="c", name="look", arguments="{}"),)
    assert not SCORER.score(episode(Message(role="assistant", content=block(RIGHT), tool_calls=calls))).completed


def test_episode_without_a_turn_is_not_completed() -> None:
    assert not SCORER.score(episode()).completed


def test_reasoning_is_removed_before_reading() -> None:
    wrong = block('{"decision": "Account Closure", "severity": "high"}')
    assert SCORER.score(episode(f"<think>{wrong}</think>{block(RIGHT)}")).success
    assert SCORER.score(episode(f"opened in the prompt {wrong}</think>{block(RIGHT)}")).success
    assert SCORER.score(episode(f"[THINK]{wrong}[/THINK]{block(RIGHT)}")).success
    assert not SCORER.score(episode(f"<think>{block(RIGHT)}</think>{wrong}")).success
    assert not SCORER.score(episode(Message(role="assistant", reasoning=block(RIGHT)))).completed


ATTACKS = {
    "shortest winning substring": [
        block('{"decision": "n", "severity": "l"}'),
        block('{"decision": "", "severity": ""}'),
    ],
    "all labels joined": [block(f'{{"decision": "{sep.join(LABELS)}", "severity": "low{sep}high"}}') for sep in ", |"],
    "a list of all labels": [block('{"decision": ["No Action", "Account Closure"], "severity": ["low", "high"]}')],
    "thinking names every label": [
        f"<think>{' '.join(LABELS)} low high {block(RIGHT)}</think>"
        + block('{"decision": "Account Closure", "severity": "high"}')
    ],
    "negation": [block('{"decision": "not No Action", "severity": "not low"}')],
    "the right answer in the wrong tag": [
        f"<final_decision>{RIGHT}</final_decision>",
        "<final_decision>No Action</final_decision>",
        f"<answer>{RIGHT}</answer>",
    ],
    "tools only, garbage answer": ["done", block("done"), block("{}"), block("null")],
    "one block per label": [
        "".join(block(f'{{"decision": "{label}", "severity": "low"}}') for label in LABELS),
        "".join(block(f'{{"decision": "{label}", "severity": "low"}}') for label in reversed(LABELS)),
    ],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_never_succeeds(attack: str) -> None:
    for reply in ATTACKS[attack]:
        call = Message(role="assistant", tool_calls=(ToolCall(id="c", name="look", arguments="{}"),))
        assert not SCORER.score(episode(call, reply)).success, reply


def test_constant_answer_wins_its_own_class_only() -> None:
    constant = block('{"decision": "Account Closure", "severity": "high"}')
    wins = [
        SCORER.score(episode(constant, gold={"decision": label, "severity": severity})).success
        for label in LABELS
        for severity in ("low", "high")
    ]
    assert sum(wins) == 1


@pytest.mark.parametrize(
    ("expected", "given_json", "right"),
    [
        (True, "true", True),
        (True, '"true"', False),
        (True, "1", False),
        (1, "true", False),
        (0, "false", False),
        (3, "3", True),
        (3, "3.0", True),
        (3, '"3"', False),
        (2.5, "2.5", True),
        (None, "null", True),
        (None, '"None"', True),
        (None, '"N/A"', True),
        (None, '""', False),
        (None, "false", False),
        (None, "[1]", False),
        (None, "{}", False),
        ("low", "null", False),
        ("low", '"null"', False),
    ],
)
def test_values_are_typed(expected: Any, given_json: str, right: bool) -> None:
    scorer = FinalOutputScorer({"value": ("low", "high")})
    score = scorer.score(episode(block(f'{{"value": {given_json}}}'), gold={"value": expected}))
    assert score.success is right


def test_a_null_word_that_is_also_a_label_is_the_label() -> None:
    scorer = FinalOutputScorer({"value": ("none", "some")})
    assert scorer.score(episode(block('{"value": "none"}'), gold={"value": "none"})).success
    assert not scorer.score(episode(block('{"value": "none"}'), gold={"value": None})).success


def test_vocabulary_is_what_occurs_as_gold() -> None:
    tasks = [episode(gold={"a": "x", "b": True}).task, episode(gold={"a": "y", "b": None}).task]
    assert collect_vocabulary(tasks) == {"a": ("x", "y"), "b": ()}


@pytest.mark.parametrize("gold", ["text", {}, {"value": ["x"]}, {"value": float("nan")}, {"decision": "unheard of"}])
def test_gold_that_cannot_be_answered_is_an_error(gold: Any) -> None:
    with pytest.raises(DatasetError, match="'t'"):
        SCORER.score(episode(block(RIGHT), gold=gold))


def test_reward_scorer_reads_the_outcome() -> None:
    assert RewardScorer().score(episode(block(RIGHT))).success
    assert not RewardScorer(threshold=1.5).score(episode(block(RIGHT))).success
    cut = Episode(
        key=EpisodeKey(task_id="t", attempt=0),
        task=Task(id="t", prompt=""),
        opening=(),
        outcome=Truncated(value=0.0, cause="max_turns"),
    )
    assert not RewardScorer().score(cut).completed


DECISION = FinalDecisionScorer({"decision": LABELS})


@pytest.mark.parametrize(
    ("reply", "completed", "success"),
    [
        ("<final_decision>No Action</final_decision>", True, True),
        ("Thus: <final_decision> no_action\n</final_decision>", True, True),
        ("<think><final_decision>x</final_decision></think><final_decision>No Action</final_decision>", True, True),
        ("<final_decision>Account Closure</final_decision>", True, False),
        ("<final_decision>n</final_decision>", True, False),
        ("<final_decision>No Action, Account Closure</final_decision>", True, False),
        ("<final_decision>not No Action</final_decision>", True, False),
        ("<think><final_decision>No Action</final_decision></think>", False, False),
        ("<final_decision>No Action</final_decision><final_decision>No Action</final_decision>", False, False),
        ("<final_decision><b>No Action</b></final_decision>", False, False),
        ("<final_decision></final_decision>", False, False),
        (block('{"decision": "No Action"}'), False, False),
        ("No Action", False, False),
    ],
)
def test_decision_in_the_originals_tag_is_graded_as_strictly(reply: str, completed: bool, success: bool) -> None:
    score = DECISION.score(episode(reply, gold={"decision": "No Action"}))
    assert (score.completed, score.success) == (completed, success)


@pytest.mark.parametrize(
    ("text", "expected", "right"),
    [
        ("True", True, True),
        ("false", True, False),
        ("1", True, False),
        ("3.0", 3, True),
        ("x", 3, False),
        ("N/A", None, True),
    ],
)
def test_decision_may_write_a_boolean_number_or_null_out(text: str, expected: Any, right: bool) -> None:
    score = DECISION.score(episode(f"<final_decision>{text}</final_decision>", gold={"decision": expected}))
    assert score.success is right


def test_decision_of_several_fields_cannot_be_given_in_one_tag() -> None:
    assert not SCORER.score(episode("<final_decision>No Action</final_decision>")).completed
    wide = FinalDecisionScorer({"decision": LABELS, "severity": ("low", "high")})
    assert not wide.score(episode("<final_decision>No Action</final_decision>")).completed
