"""Finished episodes, made by hand."""

from collections.abc import Callable

import pytest

from turnwright.core.episode import Episode, EpisodeKey, ToolOutcome, Turn
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Failed, Outcome, Rewarded, Truncated
from turnwright.core.task import Task

MakeEpisode = Callable[..., Episode]


@pytest.fixture
def tasks() -> tuple[Task, ...]:
    return tuple(
        Task(id=f"t{i}", prompt=f"case {i}", data={"gold": {"a": "x", "b": "y"}}, split="test", cluster=f"w{i}")
        for i in range(4)
    )


@pytest.fixture
def make_episode(tasks: tuple[Task, ...]) -> MakeEpisode:
    """``make_episode(task number, kind)``: right, half, wrong, mute, cut (at the turn limit) or failed."""

    def make(number: int, kind: str, *, attempt: int = 0, tool_error: bool = False) -> Episode:
        answer = {
            "right": '<final_output>{"a": "x", "b": "y"}</final_output>',
            "half": '<final_output>{"a": "x", "b": "x"}</final_output>',
            "wrong": '<final_output>{"a": "y", "b": "x"}</final_output>',
        }.get(kind, "no block")
        outcome: Outcome = Rewarded(value={"right": 1.0, "half": 0.5}.get(kind, 0.0))
        if kind == "cut":
            outcome = Truncated(value=0.0, cause="max_turns")
        elif kind == "failed":
            outcome = Failed(cause="tool_error")
        call = Message(role="assistant", tool_calls=(ToolCall(id="c", name="look", arguments="{}"),))
        turns = (
            Turn(reply=call, tools=(ToolOutcome(name="look", error=tool_error),)),
            Turn(reply=call if kind == "cut" else Message(role="assistant", content=answer)),
        )
        return Episode(
            key=EpisodeKey(task_id=f"t{number}", attempt=attempt),
            task=tasks[number],
            opening=(Message(role="user", content=tasks[number].prompt),),
            turns=turns,
            outcome=outcome,
        )

    return make
