"""What a reply's calls show by themselves, and what a context policy did between turns."""

from turnwright.core.episode import ContextChange, Episode, EpisodeKey, ToolOutcome, Turn, written_calls
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.task import Task

LOOK = ToolSpec(name="look", description="")


def test_a_call_is_malformed_without_a_known_name_and_an_object() -> None:
    written = [("look", '{"order": "O3"}'), ("look", "[1]"), ("look", "{"), ("", "look(O3)"), ("leap", "{}")]
    calls = tuple(ToolCall(id=str(i), name=name, arguments=text) for i, (name, text) in enumerate(written))
    outcomes = written_calls(Message(role="assistant", tool_calls=calls), [LOOK])
    assert outcomes == tuple(
        ToolOutcome(name=name, malformed=malformed)
        for (name, _), malformed in zip(written, (False, True, True, True, True), strict=True)
    )


def test_calls_for_notes_stand_between_those_of_turns() -> None:
    reply = Message(role="assistant", content="x")
    asked = Turn(reply=reply, context=ContextChange(notes=reply))
    plain, quiet = Turn(reply=reply), Turn(reply=reply, context=ContextChange())
    task = Task(id="t", prompt="p")
    episode = Episode(
        key=EpisodeKey(task_id="t", attempt=0), task=task, opening=(), turns=(plain, asked, quiet, asked, plain)
    )
    # Calls: plain 0, asked 1, notes 2, quiet 3, asked 4, notes 5, plain 6.
    assert episode.notes_calls == {2, 5}
    assert Episode(key=episode.key, task=task, opening=()).notes_calls == frozenset()


def test_a_change_says_what_it_did() -> None:
    reply = Message(role="assistant", content="x")
    assert str(ContextChange()) == ""
    assert str(ContextChange(full_results=(reply,), removed_tokens=9)) == "1 result cut (-9 tokens)"
    assert (
        str(ContextChange(dropped_results=2, notes=reply, removed_tokens=4))
        == "2 results dropped, asked for notes and got none (-4 tokens)"
    )
    assert str(ContextChange(notes=reply)) == "asked for notes and got none"
    taken = ContextChange(notes=reply, notes_taken=True, removed_tokens=80)
    assert str(taken) == "notes in place of older turns (-80 tokens)"
