import asyncio
from dataclasses import replace

import pytest

from rollout.desk import DONE, LOOK, TASK, Desk, Told
from turnwright.agents.builtin import Conversation, LoopLimits, run_tool_loop
from turnwright.core.errors import ContextOverflowError, EngineStoppedError
from turnwright.core.message import Message, ToolCall
from turnwright.environments.base import ToolCrash
from turnwright.environments.scripts import call, say

LIMITS = LoopLimits(max_turns=4)


def converse(policy: Told, environment: Desk | None = None, limits: LoopLimits = LIMITS) -> Conversation:
    environment = environment or Desk()
    environment.open(TASK, 0)
    conversation = Conversation(turns=[])
    asyncio.run(run_tool_loop(environment, policy, conversation, limits))
    return conversation


def test_calls_are_answered_until_there_is_nothing_to_answer():
    policy = Told(LOOK, DONE)
    conversation = converse(policy)
    first, last = conversation.turns
    (response,) = first.responses
    assert (response.role, response.content, response.name) == ("tool", '{"order": "O3", "item": "K1"}', "look")
    assert [(outcome.name, outcome.error) for outcome in first.tools] == [("look", False)]
    assert (last.reply, last.responses, conversation.truncation) == (DONE, (), None)
    assert [message.role for message in policy.seen[0]] == ["system", "user"]
    assert policy.seen[1] == (*policy.seen[0], LOOK, response)
    assert (first.num_prompt_tokens, first.num_sampled_tokens, first.mean_logprob, first.policy_version) == (
        10,
        5,
        -0.5,
        3,
    )


def test_several_calls_of_one_reply_run_in_order():
    both = Message(
        role="assistant",
        tool_calls=(
            ToolCall(id="a", name="look", arguments='{"order": "O1"}'),
            ToolCall(id="b", name="look", arguments='{"order": "busy"}'),
        ),
    )
    environment = Desk()
    turn = converse(Told(both, DONE), environment).turns[0]
    assert [response.tool_call_id for response in turn.responses] == ["a", "b"]
    assert [outcome.error for outcome in turn.tools] == [False, True]
    assert environment.log == ["open", "O1", "busy"]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("look", "{order: O3", "not valid JSON"),
        ("look", "[]", "must be a JSON object"),
        ("look", '{"item": "O3"}', "Missing required argument: order; Unknown argument: item"),
        ("find", "{}", "unknown tool find, there is: look"),
        ("", '{"name": "look", ', "unknown tool , there is: look"),
    ],
)
def test_a_call_that_cannot_be_run_is_answered_and_the_episode_goes_on(name: str, arguments: str, told: str):
    broken = Message(role="assistant", tool_calls=(ToolCall(id="x", name=name, arguments=arguments),))
    environment = Desk()
    conversation = converse(Told(broken, DONE), environment)
    assert told in conversation.turns[0].responses[0].content
    assert [(outcome.error, outcome.malformed) for outcome in conversation.turns[0].tools] == [(True, True)]
    assert (environment.log, conversation.turns[-1].reply) == (["open"], DONE)


def test_the_world_may_answer_a_reply_without_calls():
    policy = Told(say("hm"), DONE)
    conversation = converse(policy, Desk(questions=1))
    assert conversation.turns[0].responses == (Message(role="user", content="and?"),)
    assert policy.seen[1][-1].content == "and?"
    assert conversation.truncation is None


def test_the_turn_limit_cuts_after_the_last_answer():
    conversation = converse(Told(*[LOOK] * 9))
    assert len(conversation.turns) == 4
    assert conversation.turns[-1].responses
    assert conversation.truncation == "max_turns"


@pytest.mark.parametrize(
    ("num_prompt_tokens", "limit", "cause"), [(10, None, "token_cap"), (10, 16, "token_cap"), (11, 16, "sequence")]
)
def test_a_reply_that_was_cut_ends_the_episode_and_its_calls_are_not_run(num_prompt_tokens, limit, cause):
    policy = Told(LOOK)
    policy.finish_reason, policy.num_prompt_tokens = "length", num_prompt_tokens
    environment = Desk()
    conversation = converse(policy, environment, replace(LIMITS, max_sequence_length=limit))
    assert (len(conversation.turns), conversation.truncation, environment.log) == (1, cause, ["open"])


def test_a_prompt_without_room_cuts_before_the_turn():
    conversation = converse(Told(LOOK, ContextOverflowError("full")))
    assert (len(conversation.turns), conversation.truncation) == (1, "sequence")


@pytest.mark.parametrize(
    ("replies", "error", "num_turns"),
    [
        ([LOOK, call("look", order="crash")], ToolCrash, 2),
        ([LOOK, EngineStoppedError("gone")], EngineStoppedError, 1),
    ],
)
def test_what_happened_before_a_failure_stays(replies: list, error: type[Exception], num_turns: int):
    environment, conversation = Desk(), Conversation(turns=[])
    environment.open(TASK, 0)
    with pytest.raises(error):
        asyncio.run(run_tool_loop(environment, Told(*replies), conversation, LIMITS))
    assert len(conversation.turns) == num_turns
    assert conversation.turns[0].responses
