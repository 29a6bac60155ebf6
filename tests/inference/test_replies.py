import asyncio
from pathlib import Path

import pytest

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import DatasetError, EngineStoppedError
from turnwright.core.message import Message, ToolCall
from turnwright.inference.base import GenerationRequest
from turnwright.inference.replies import ScriptedReply, load_replies, reply_script
from turnwright.inference.scripted import Script, ScriptedEngine
from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rendering.renderer import Renderer

RENDERER = Renderer(build_tokenizer(["order O3 look it up"], vocab_size=300))


def write(tmp_path: Path, *lines: str | bytes) -> Path:
    path = tmp_path / "replies.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return path


def test_rows_are_messages(tmp_path: Path):
    path = write(
        tmp_path,
        '{"reasoning": "hm", "tool_calls": [{"name": "look", "arguments": {"order": "\u00d63", "n": [1, null]}},'
        ' {"name": "end"}]}',
        "",
        '{"prompt": "O4", "tool_calls": [{"name": "look", "arguments": "{broken"}]}',
        '{"content": "line\u2028separator"}\r',
        '{"content": ""}',
    )
    assert load_replies(path) == [
        ScriptedReply(
            message=Message(
                role="assistant",
                reasoning="hm",
                tool_calls=(
                    ToolCall(id="call_0", name="look", arguments='{"order": "\u00d63", "n": [1, null]}'),
                    ToolCall(id="call_1", name="end", arguments="{}"),
                ),
            )
        ),
        ScriptedReply(
            message=Message(role="assistant", tool_calls=(ToolCall(id="call_0", name="look", arguments="{broken"),)),
            prompt="O4",
        ),
        ScriptedReply(message=Message(role="assistant", content="line\u2028separator")),
        ScriptedReply(message=Message(role="assistant")),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nope", "the row is wrong: Invalid JSON"),
        (b'{"content": "\xff"}', "the row is wrong: Invalid JSON"),
        ('{"content": "\\ud800"}', "the row is wrong: Invalid JSON"),
        ('["done"]', "the row is wrong: Input should be an object"),
        ("{}", "the row is wrong: .* expected 'content', 'reasoning' or 'tool_calls', got none"),
        ('{"prompt": "O4"}', "the row is wrong: .* got none of them"),
        ('{"content": "x", "after": []}', "after is wrong: Extra inputs"),
        ('{"content": null}', "content is wrong: Input should be a valid string"),
        ('{"tool_calls": {}}', "tool_calls is wrong: Input should be a valid array"),
        ('{"tool_calls": [{"arguments": {}}]}', r"tool_calls\.0\.name is wrong: Field required"),
        ('{"tool_calls": [{"name": ""}]}', r"tool_calls\.0\.name is wrong"),
        ('{"tool_calls": [{"name": "a"}, {"name": "a", "arguments": 5}]}', r"tool_calls\.1\.arguments .* got 5"),
        ('{"tool_calls": [{"name": "a", "arguments": {"x": NaN}}]}', r"tool_calls\.0\.arguments is wrong"),
        ('{"tool_calls": [{"name": "a", "arguments": {"x": 1e400}}]}', r"tool_calls\.0\.arguments is wrong"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_field(tmp_path: Path, line: str | bytes, complaint: str):
    with pytest.raises(DatasetError, match=rf"replies\.jsonl, line 3: {complaint}"):
        load_replies(write(tmp_path, '{"content": "fine"}', "", line))


def test_a_missing_and_an_empty_file_are_errors(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"there is no file .*absent"):
        load_replies(tmp_path / "absent")
    with pytest.raises(DatasetError, match="holds no reply"):
        load_replies(write(tmp_path, "", " "))


def content(text: str, prompt: str = "") -> ScriptedReply:
    return ScriptedReply(message=Message(role="assistant", content=text), prompt=prompt)


def script(*replies: ScriptedReply) -> Script:
    return reply_script(replies, lambda message: message.content, RENDERER.decode)


def asked(prompt: str, *, turn: int = 0, attempt: int = 0) -> GenerationRequest:
    return GenerationRequest(
        key=EpisodeKey(task_id="t", attempt=attempt),
        turn=turn,
        prompt_token_ids=RENDERER.encode(prompt),
        max_tokens=99,
        stop_token_ids=RENDERER.stop_token_ids,
    )


def test_the_nth_call_gets_the_nth_row_and_the_last_is_repeated():
    answer = script(content("a"), content("b"))
    assert [answer(asked("order: O3", turn=turn)) for turn in range(4)] == ["a", "b", "b", "b"]


def test_rows_with_a_prompt_are_for_episodes_that_begin_with_it():
    answer = script(content("3", "O3"), content("any"), content("4", "O4"), content("3 again", "O3"))
    assert [answer(asked("order: O3", turn=turn)) for turn in range(3)] == ["3", "any", "3 again"]
    # A tool's answer mentions another order: this is still an episode about O4.
    later = [answer(asked("order: O4" + " and O3" * turn, turn=turn, attempt=1)) for turn in range(3)]
    assert later == ["any", "4", "4"]
    # The attempt is made again about something else.
    assert answer(asked("order: O5", attempt=1)) == "any"


def test_an_episode_no_row_is_meant_for_is_an_error():
    with pytest.raises(EngineStoppedError, match=r"'t#0': its prompt contains none of \['O3', 'O4'\]; add a row"):
        script(content("a", "O4"), content("b", "O3"))(asked("order: O5"))


def test_a_scripted_engine_samples_rows_as_a_policy_would(tmp_path: Path):
    rows = load_replies(write(tmp_path, '{"tool_calls": [{"name": "look", "arguments": {"order": "O3"}}]}'))
    engine = ScriptedEngine(
        RENDERER.tokenizer,
        reply_script(rows, lambda message: RENDERER.decode(RENDERER.reply_ids(message)[:-1]), RENDERER.decode),
    )
    generation = asyncio.run(engine.generate(asked("order: O3")))
    assert generation.token_ids == RENDERER.reply_ids(rows[0].message)
    (call,) = RENDERER.parse_reply(generation.token_ids, turn=0).tool_calls
    assert (call.name, call.arguments) == ("look", '{"order": "O3"}')
