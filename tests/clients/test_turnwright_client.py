"""Our own client: its decorator, and its adapter for each framework."""

import pytest

from clients.conftest import Play
from clients.exactness import in_tokens
from clients.serving import PLAIN, Serving
from turnwright.core.outcome import Rewarded

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("framework", ["openai", "anthropic", "langchain", "strands", "openai_agents"])
def test_an_adapter_gives_the_trajectory_of_the_built_in_agent(play: Play, served: Serving, framework: str):
    played = play(f"turnwright_{framework}")
    assert in_tokens(played.recorded.trajectory) == in_tokens(served.in_process(PLAIN).trajectory)


def test_a_list_is_one_reward_per_turn(play: Play):
    outcome = play("turnwright_openai").recorded.outcome
    assert outcome == Rewarded(value=2.0, turn_values=(0.5, 0.5, 0.5, 0.5))


def test_a_reward_has_named_parts(play: Play):
    assert play("turnwright_anthropic").recorded.outcome == Rewarded(value=1.0, components={"answer": 1.0})
