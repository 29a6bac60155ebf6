from dataclasses import replace

from turnwright.core.episode import ContextChange, Episode
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Truncated
from turnwright.tracking.spans import episode_spans


def spans_of(episode: Episode):
    return episode_spans(episode, folder="trajectories", step=12, ended=100.0)


def test_an_episode_is_a_tree_of_turns_and_tools(episode: Episode):
    spans = spans_of(episode)
    assert [(span.name, span.kind, span.parent) for span in spans] == [
        ("trajectory", "AGENT", None),
        ("turn-0", "CHAT_MODEL", 0),
        ("get_order", "TOOL", 1),
        ("unreadable call", "TOOL", 1),
        ("turn-1", "CHAT_MODEL", 0),
    ]


def test_spans_lie_end_to_end_and_end_with_the_episode(episode: Episode):
    root, first, tool, unreadable, last = spans_of(episode)
    ms = 1_000_000
    assert (root.start_ns, root.end_ns) == (100_000 * ms - 66 * ms, 100_000 * ms)
    assert (first.start_ns, first.end_ns - first.start_ns) == (root.start_ns, 46 * ms)
    assert (tool.start_ns, tool.end_ns) == (root.start_ns + 40 * ms, root.start_ns + 45 * ms)
    assert unreadable.end_ns == first.end_ns == last.start_ns
    assert last.end_ns == root.end_ns


def test_the_root_says_what_became_of_the_episode(episode: Episode):
    root = spans_of(episode)[0]
    assert root.inputs == {"prompt": "order: O3"}
    assert root.attributes == {
        "row": "trajectories/step_000012/order-4#2",
        "step": 12,
        "task": "order-4",
        "attempt": 2,
        "outcome": "rewarded",
        "policy_versions": [11, 12],
        "reward": 0.75,
        "reward/format": 0.1,
        "score": True,
    }


def test_an_episode_of_a_mixture_says_its_domain(episode: Episode):
    mixed = replace(episode, task=replace(episode.task, domain="returns"))
    assert spans_of(mixed)[0].attributes["domain"] == "returns"


def test_ground_truth_is_not_shown(episode: Episode):
    assert "gold" not in str(spans_of(episode))


def test_a_turn_shows_what_was_new_to_it_and_its_reply(episode: Episode):
    first, last = (span for span in spans_of(episode) if span.kind == "CHAT_MODEL")
    assert [message["role"] for message in first.inputs["messages"]] == ["system", "user"]
    assert [message["role"] for message in last.inputs["messages"]] == ["tool", "tool"]
    assert first.outputs["reasoning_content"] == "look it up"
    assert first.outputs["tool_calls"][0]["function"] == {"name": "get_order", "arguments": '{"order": "O3"}'}
    assert first.attributes["row"] == "trajectories/step_000012/order-4#2/0"
    assert (first.attributes["sampled_tokens"], first.attributes["mean_logprob"]) == (12, -0.25)


def test_a_tool_span_has_arguments_result_and_error(episode: Episode):
    tool, unreadable = (span for span in spans_of(episode) if span.kind == "TOOL")
    assert (tool.inputs, tool.outputs, tool.error) == ({"order": "O3"}, '{"item": "K1"}', "")
    assert (unreadable.inputs, unreadable.outputs, unreadable.error) == ("{oops", "not JSON", "not JSON")


def test_failures_and_truncations_name_their_cause(episode: Episode):
    failed = spans_of(replace(episode, outcome=Failed(cause="tool_timeout", detail="30 s")))[0]
    assert (failed.error, failed.attributes["cause"], "reward" in failed.attributes) == (
        "tool_timeout: 30 s",
        "tool_timeout",
        False,
    )
    truncated = spans_of(replace(episode, outcome=Truncated(value=0.0, cause="max_turns")))[0]
    assert (truncated.error, truncated.attributes["cause"], truncated.attributes["reward"]) == ("", "max_turns", 0.0)


def test_turns_behind_a_request_for_notes_name_the_row_of_their_own_call(episode: Episode):
    noted = ContextChange(notes=Message(role="assistant", content="found"), notes_taken=True, removed_tokens=5)
    first, last = episode.turns
    spans = spans_of(replace(episode, turns=(replace(first, context=noted), last)))
    row = "trajectories/step_000012/order-4#2"
    assert [span.attributes["row"] for span in spans if span.kind == "CHAT_MODEL"] == [f"{row}/0", f"{row}/2"]
    assert spans[1].attributes["context"] == "notes in place of older turns (-5 tokens)"
    assert "context" not in spans[-1].attributes
