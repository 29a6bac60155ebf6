from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rundir import gateway_trajectory as sample
from rundir.strategies import components, ids, messages, number, outcomes, tasks, text
from turnwright.core.errors import DatasetError
from turnwright.core.message import ToolSpec
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.rundir.gateway_records import Ended, GatewayRecord, Opened, RewardGiven, decode, encode, outcome_of

records = st.one_of(
    st.builds(Opened, trajectory_id=text, key=st.just(sample.KEY), task=tasks, job_arn=text, time=number),
    st.builds(Ended, trajectory_id=text, outcome=outcomes, time=number),
    st.builds(RewardGiven, trajectory_id=text, values=st.lists(number).map(tuple), components=components, time=number),
)


@settings(max_examples=100)
@given(record=records)
def test_records_come_back_bit_for_bit(record: GatewayRecord) -> None:
    line = encode(record)
    assert b"\n" not in line
    assert decode(line) == record


@pytest.mark.parametrize(
    "record",
    [sample.OPENED, sample.FIRST, sample.SECOND, sample.sealed("failed", abandoned=(1,), truncation="max_turns")],
    ids=lambda record: record.kind,
)
def test_each_kind_comes_back_as_its_class(record: GatewayRecord) -> None:
    assert decode(encode(record)) == record


@settings(max_examples=50)
@given(prompt=ids, new_messages=st.lists(messages, max_size=3).map(tuple), reply=messages)
def test_a_turn_keeps_its_ids_and_messages(prompt, new_messages, reply) -> None:
    turn = replace(sample.FIRST, new_prompt_token_ids=prompt, new_messages=new_messages, reply=reply)
    assert decode(encode(turn)) == turn


def test_no_tools_differ_from_the_tools_of_the_parent() -> None:
    assert decode(encode(replace(sample.SECOND, tools=()))).tools == ()  # pyright: ignore[reportAttributeAccessIssue]
    assert decode(encode(sample.SECOND)).tools is None  # pyright: ignore[reportAttributeAccessIssue]


def test_what_json_cannot_say_is_refused_by_name() -> None:
    task = Task(id="t1", prompt="x", data={"world": object()})
    record = Opened(trajectory_id="t-1", key=sample.KEY, task=task, job_arn="arn", time=0.0)
    with pytest.raises(DatasetError, match=r"opened record of trajectory 't-1' cannot be written.*keep Task\.data"):
        encode(record)


@pytest.mark.parametrize("line", [b"", b"{}", b'{"kind":"unheard"}', b'{"kind":"sealed","status":"maybe"}', b"\xff"])
def test_a_line_of_another_kind_is_no_record(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(line)


def test_one_reward_is_the_attempts() -> None:
    assert outcome_of(status="ready", rewards=(0.5,), num_turns=3, components={"a": 1.0}) == Rewarded(
        value=0.5, components={"a": 1.0}
    )


def test_a_reward_per_turn_sums_up() -> None:
    assert outcome_of(status="ready", rewards=(0.25, -1.0, 2.0), num_turns=3) == Rewarded(
        value=1.25, turn_values=(0.25, -1.0, 2.0)
    )


def test_a_limit_that_cut_the_attempt_shows_in_its_outcome() -> None:
    assert outcome_of(status="ready", rewards=(1.0,), num_turns=2, truncation="token_cap") == Truncated(
        value=1.0, cause="token_cap"
    )


def test_an_agent_that_gave_up_failed_whatever_reward_it_posts() -> None:
    assert outcome_of(status="failed", rewards=(0.0,), num_turns=2, detail="KeyError") == Failed(
        cause="agent_error", detail="KeyError"
    )


def test_a_sealed_attempt_waits_for_its_reward() -> None:
    assert outcome_of(status="ready", rewards=None, num_turns=1) is None


@pytest.mark.parametrize(
    ("rewards", "num_turns", "cause"),
    [((1.0,), 0, "no_sample"), (None, 0, "no_sample"), ((), 2, "bad_reward"), ((1.0, 1.0), 3, "bad_reward")],
)
def test_rewards_that_fit_no_turns_are_a_failure_and_no_reward_of_0(rewards, num_turns, cause) -> None:
    outcome = outcome_of(status="ready", rewards=rewards, num_turns=num_turns)
    assert isinstance(outcome, Failed)
    assert outcome.cause == cause


def test_rewards_too_big_to_add_are_a_failure() -> None:
    outcome = outcome_of(status="ready", rewards=(1e308, 1e308), num_turns=2)
    assert isinstance(outcome, Failed)
    assert outcome.cause == "bad_reward"


def test_a_tool_schema_survives() -> None:
    tool = ToolSpec(name="f", description="", parameters={"type": "object", "properties": {"n": {"minimum": 0.5}}})
    turn = replace(sample.FIRST, tools=(tool,))
    assert decode(encode(turn)) == turn
