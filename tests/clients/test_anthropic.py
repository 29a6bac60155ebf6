"""anthropic's client: messages, whole and streamed."""

import pytest

from clients.conftest import Play
from clients.exactness import in_tokens
from clients.serving import MALFORMED, PLAIN, Serving

pytestmark = pytest.mark.clients


def test_messages_are_what_the_built_in_agent_samples(play: Play, served: Serving):
    played = play("anthropic_messages")
    assert in_tokens(played.recorded.trajectory) == in_tokens(served.in_process(PLAIN).trajectory)


def test_streamed_messages_give_the_same_trajectory(play: Play):
    whole, streamed = play("anthropic_messages"), play("anthropic_streaming")
    assert streamed.seen == whole.seen
    assert in_tokens(streamed.recorded.trajectory) == in_tokens(whole.recorded.trajectory)


def test_a_malformed_call_reaches_the_agent_and_comes_back_as_it_was_sampled(play: Play):
    played = play("anthropic_messages", MALFORMED)
    assert [call["name"] for call in played.seen[0]["tool_calls"]] == ["invalid_tool_call"]
