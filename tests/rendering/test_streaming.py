from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnwright.core.message import Message
from turnwright.core.protocols import ReplyDelta
from turnwright.rendering.renderer import Renderer
from turnwright.rendering.streaming import ReplyStream

TAGS = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "\n",
    "\n\n",
    " ",
    "<",
    "th",
    "tool_call>",
    "</",
    "<|im_end|>",
)
BYTES = st.integers(97, 190) | st.integers(225, 258)
"""Tokens of the shipped tokenizer that are a part of a character."""
CALL = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'


def joined(deltas: list[ReplyDelta], kind: str) -> str:
    return "".join(delta.text for delta in deltas if delta.kind == kind)


def streamed(
    renderer: Renderer, chunks: list[list[int]], stop: tuple[str, ...] = ()
) -> tuple[list[ReplyDelta], list[ReplyDelta], Message]:
    """Return the deltas of the chunks, those of the end, and the message."""
    stream = ReplyStream(renderer, stop=stop)
    message = renderer.parse_reply([token for chunk in chunks for token in chunk], turn=0, stop=stop)
    live = [delta for chunk in chunks for delta in stream.feed(chunk)]
    return live, stream.finish(message), message


@st.composite
def chunked(draw: st.DrawFn, ids: st.SearchStrategy[list[int]]) -> list[list[int]]:
    drawn = draw(ids)
    cuts = sorted(draw(st.lists(st.integers(0, len(drawn)), max_size=len(drawn))))
    return [drawn[start:end] for start, end in zip([0, *cuts], [*cuts, len(drawn)], strict=True)]


@pytest.fixture(scope="session")
def thinking(tiny: Renderer) -> Renderer:
    """Return the shipped tokenizer under a template whose generation prompt opens the reasoning tag."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.tokenizer.name_or_path)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{- '<|im_start|>assistant\\n' -}}{%- endif", "{{- '<|im_start|>assistant\\n<think>' -}}{%- endif"
    )
    renderer = Renderer(tokenizer)
    assert renderer.template.opens_thinking
    return renderer


@pytest.fixture(params=["tiny", "thinking"])
def speaker(request: pytest.FixtureRequest) -> Renderer:
    return request.getfixturevalue(request.param)


stops = st.lists(st.sampled_from(["a", "O3", "\n", "ab", "call>", "<tool", "think", "\ufffd", "é"]), max_size=3).map(
    tuple
)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), stop=stops)
def test_deltas_are_the_message_whatever_is_sampled(speaker: Renderer, data: st.DataObject, stop: tuple[str, ...]):
    piece = st.sampled_from(TAGS).map(lambda tag: list(speaker.encode(tag))) | (st.integers(0, 1023) | BYTES).map(
        lambda i: [i]
    )
    ids = st.lists(piece, max_size=30).map(lambda pieces: [token for piece in pieces for token in piece])
    chunks = data.draw(chunked(ids))
    live, end, message = streamed(speaker, chunks, stop)
    assert joined(live + end, "content") == message.content
    assert joined(live + end, "reasoning") == message.reasoning


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(st.sampled_from([*TAGS, CALL, "é", "北", "😀", "yes"]), max_size=12).map("".join))
def test_tags_that_are_spelled_letter_by_letter_are_tags(tiny: Renderer, text: str):
    live, end, message = streamed(tiny, [[token] for letter in text for token in tiny.encode(letter)])
    assert joined(live + end, "content") == message.content
    assert joined(live + end, "reasoning") == message.reasoning


def test_text_comes_as_it_is_sampled(tiny: Renderer):
    ids = tiny.encode(f"<think>\nlook it up\n</think>\n\nrefund: late{CALL}\n") + tuple(tiny.stop_token_ids)
    live, end, message = streamed(tiny, [[token] for token in ids])
    assert (joined(live, "reasoning"), joined(live, "content")) == ("look it up", "refund: late")
    assert end == []
    assert len(live) > 4
    assert message.tool_calls[0].name == "f"


def test_half_a_character_waits_for_the_other(tiny: Renderer):
    ids = tiny.encode("北")
    assert len(ids) > 1
    stream = ReplyStream(tiny)
    assert [stream.feed([token]) for token in ids] == [
        *([] for _ in ids[1:]),
        [ReplyDelta(kind="content", text="北")],
    ]


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("<think>on and on\n", "on and on", ""),
        ("<thi", "", "<thi"),
        (" \n<think>so</think>yes", "so", "yes"),
        ("so <tool_call>{not", "", "so "),
        ("so <tool_call>{not json}</tool_call>", "", "so "),
        ("a<tool_call>x<tool_call>y</tool_call>b</tool_call>\n", "", "ab</tool_call>"),
        ("a\n\n<tool_c", "", "a\n\n<tool_c"),
    ],
)
def test_however_a_reply_ends(tiny: Renderer, text: str, reasoning: str, content: str):
    live, end, message = streamed(tiny, [[token] for token in tiny.encode(text)])
    assert (message.reasoning, message.content) == (reasoning, content)
    assert (joined(live + end, "reasoning"), joined(live + end, "content")) == (reasoning, content)


def test_nothing_of_a_stop_text_is_sent(tiny: Renderer):
    live, end, message = streamed(tiny, [[token] for token in tiny.encode("order: O3 END of it")], ("END",))
    assert message.content == "order: O3 "
    assert joined(live, "content") == "order: O3 "
    assert end == []


def test_the_cost_of_a_token_does_not_grow_with_the_reply(tiny: Renderer, monkeypatch: pytest.MonkeyPatch):
    lengths: list[int] = []
    decode = tiny.decode

    def measured(token_ids: list[int]) -> str:
        lengths.append(len(token_ids))
        return decode(token_ids)

    monkeypatch.setattr(tiny, "decode", measured)
    stream = ReplyStream(tiny)
    broken = cast(int, tiny.tokenizer.convert_tokens_to_ids("ÿ"))  # byte 0xFF, which is in no text
    for token in (*tiny.encode("order: O3 is late. " * 40), *[broken] * 300):
        stream.feed([token])
    assert max(lengths) < 40
    assert sum(lengths) < 200 * 800
