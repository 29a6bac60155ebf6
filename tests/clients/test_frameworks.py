"""LangGraph, LangChain, Strands and openai-agents, as their users write them."""

from collections.abc import Mapping
from typing import Any

import pytest

from clients.conftest import Play
from clients.exactness import in_tokens
from clients.serving import MALFORMED, PLAIN, Serving

pytestmark = pytest.mark.clients


PROGRAMS = ["langgraph_graph", "langchain_agent", "strands_agent", "openai_agents_chat"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_framework_gives_the_trajectory_of_the_built_in_agent(play: Play, served: Serving, program: str):
    played = play(program)
    assert in_tokens(played.recorded.trajectory) == in_tokens(served.in_process(PLAIN).trajectory)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_framework_shows_the_policy_its_malformed_and_unknown_calls(play: Play, program: str):
    played = play(program, MALFORMED)
    assert [call["name"] for call in played.seen[0]["tool_calls"]] == ["invalid_tool_call"]
    assert len(played.seen) > 2


def by_base_url(request: Mapping[str, Any]) -> dict[str, str]:
    metadata = request["metadata"]
    return {
        "OPENAI_BASE_URL": f"{metadata['endpoint']}/t/{metadata['trajectory_id']}/v1",
        "OPENAI_API_KEY": metadata["sampling_key"],
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
    }


def test_openai_agents_needs_nothing_but_a_base_url(play: Play, served: Serving):
    played = play("openai_agents_default", environment=by_base_url)
    assert in_tokens(played.recorded.trajectory) == in_tokens(served.in_process(PLAIN).trajectory)
