"""What a reply's calls show by themselves."""

from turnwright.core.episode import ToolOutcome, written_calls
from turnwright.core.message import Message, ToolCall, ToolSpec

LOOK = ToolSpec(name="look", description="")


def test_a_call_is_malformed_without_a_known_name_and_an_object() -> None:
    written = [("look", '{"order": "O3"}'), ("look", "[1]"), ("look", "{"), ("", "look(O3)"), ("leap", "{}")]
    calls = tuple(ToolCall(id=str(i), name=name, arguments=text) for i, (name, text) in enumerate(written))
    outcomes = written_calls(Message(role="assistant", tool_calls=calls), [LOOK])
    assert outcomes == tuple(
        ToolOutcome(name=name, malformed=malformed)
        for (name, _), malformed in zip(written, (False, True, True, True, True), strict=True)
    )
