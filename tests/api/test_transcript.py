"""An episode as it is printed."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from turnwright import Episode, Failed, Truncated, api
from turnwright.api.transcript import fold
from turnwright.core.episode import ContextChange
from turnwright.core.message import Message


@pytest.fixture(scope="module")
def episode() -> Episode:
    return api.play("returns_desk", model="oracle")


def printed(episode: Episode, *, full: bool = False) -> str:
    output = StringIO()
    api.print_episode(episode, console=Console(file=output, width=100, highlight=False), full=full)
    return output.getvalue()


def test_turns_calls_results_reward_and_score_are_shown_in_order(episode: Episode) -> None:
    text = printed(episode)
    parts = ["task test-0", "-> get_order", "<- get_order: {", "<final_output>", "reward 1", "solved", "action right"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "not solved" not in text


def test_long_instructions_are_folded_unless_asked_for(episode: Episode) -> None:
    assert "Queue:" not in printed(episode)
    assert "more lines]" in printed(episode)
    assert "Queue:" in printed(episode, full=True)
    assert fold("one\ntwo") == "one\ntwo"


def test_square_brackets_of_an_episode_are_text_and_not_markup(episode: Episode) -> None:
    turn = episode.turns[-1]
    shown = replace(episode, turns=(replace(turn, reply=replace(turn.reply, content="[bold]loud[/bold] [/]")),))
    assert "[bold]loud[/bold] [/]" in printed(shown)


def test_a_cut_and_a_failed_episode_say_why(episode: Episode) -> None:
    assert "cut by max_turns" in printed(replace(episode, outcome=Truncated(value=0.5, cause="max_turns")))
    failed = printed(replace(episode, score=None, outcome=Failed(cause="tool_error", detail="[x] broke")))
    assert "failed: tool_error [x] broke" in failed


def test_what_shortened_the_conversation_is_shown_behind_the_turn(episode: Episode) -> None:
    noted = ContextChange(notes=Message(role="assistant", content="found K1"), notes_taken=True, removed_tokens=5)
    first, *others = episode.turns
    text = printed(replace(episode, turns=(replace(first, context=noted), *others)))
    assert "context: notes in place of older turns (-5 tokens)" in text
    assert "found K1" in text
    assert "context:" not in printed(replace(episode, turns=(replace(first, context=ContextChange()), *others)))
