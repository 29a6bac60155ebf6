"""openai's client: chat completions and responses, whole and streamed."""

import pytest

from clients.conftest import Play
from clients.exactness import in_tokens
from clients.serving import MALFORMED, PLAIN, Serving

pytestmark = pytest.mark.clients


def test_chat_is_what_the_built_in_agent_samples(play: Play, served: Serving):
    played = play("openai_chat")
    assert in_tokens(played.recorded.trajectory) == in_tokens(served.in_process(PLAIN).trajectory)
    assert [call["name"] for reply in played.seen for call in reply["tool_calls"]] == [
        "get_order",
        "get_customer",
        "get_customer",
    ]
    assert played.seen[-1]["content"].startswith("<final_output>")


@pytest.mark.parametrize("program", ["openai_chat_streaming", "openai_async"])
def test_streamed_chat_gives_the_same_trajectory(play: Play, program: str):
    whole, streamed = play("openai_chat"), play(program)
    assert streamed.seen == whole.seen
    assert in_tokens(streamed.recorded.trajectory) == in_tokens(whole.recorded.trajectory)


@pytest.mark.parametrize("program", ["openai_responses_streaming", "openai_responses_continued"])
def test_streamed_and_continued_responses_give_the_same_trajectory(play: Play, program: str):
    whole, other = play("openai_responses"), play(program)
    assert other.seen == whole.seen
    assert in_tokens(other.recorded.trajectory) == in_tokens(whole.recorded.trajectory)


@pytest.mark.parametrize("program", ["openai_chat", "openai_chat_streaming", "openai_responses"])
def test_a_malformed_call_reaches_the_agent_and_comes_back_as_it_was_sampled(play: Play, program: str):
    played = play(program, MALFORMED)
    assert [call["name"] for call in played.seen[0]["tool_calls"]] == ["invalid_tool_call"]
