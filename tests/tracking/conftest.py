"""One short episode with a tool error, and how it would be without."""

from dataclasses import replace

import pytest

from turnwright.core.episode import Episode, EpisodeKey, ToolOutcome, Turn
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Rewarded
from turnwright.core.score import Score
from turnwright.core.task import Task


def make_episode(*, task: str = "order-4", attempt: int = 0) -> Episode:
    calls = (
        ToolCall(id="call_0_0", name="get_order", arguments='{"order": "O3"}'),
        ToolCall(id="call_0_1", name="", arguments="{oops"),
    )
    first = Turn(
        reply=Message(role="assistant", content="", reasoning="look it up", tool_calls=calls),
        responses=(
            Message(role="tool", content='{"item": "K1"}', tool_call_id="call_0_0", name="get_order"),
            Message(role="tool", content="not JSON", tool_call_id="call_0_1"),
        ),
        tools=(
            ToolOutcome(name="get_order", latency_ms=5.0),
            ToolOutcome(name="", error=True, malformed=True, latency_ms=1.0),
        ),
        num_prompt_tokens=30,
        num_sampled_tokens=12,
        mean_logprob=-0.25,
        policy_version=11,
        latency_ms=40.0,
    )
    last = Turn(reply=Message(role="assistant", content="refund"), policy_version=12, latency_ms=20.0)
    return Episode(
        key=EpisodeKey(task_id=task, attempt=attempt),
        task=Task(id=task, prompt="order: O3", data={"gold": "refund"}),
        opening=(Message(role="system", content="You are an agent."), Message(role="user", content="order: O3")),
        turns=(first, last),
        outcome=Rewarded(value=0.75, components={"format": 0.1}),
        score=Score(success=True),
    )


@pytest.fixture
def episode() -> Episode:
    return make_episode(attempt=2)


@pytest.fixture
def group() -> tuple[Episode, ...]:
    """Attempts of two tasks, in order of ending."""
    episodes = [make_episode(task=task, attempt=attempt) for attempt in (1, 0) for task in ("order-5", "order-4")]
    return tuple(replace(one, metadata={"ended": str(i)}) for i, one in enumerate(episodes))
