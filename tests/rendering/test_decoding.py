from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnwright.rendering.decoding import TextStream
from turnwright.rendering.renderer import Renderer

BYTES = st.integers(97, 190) | st.integers(225, 258)
"""Tokens of the shipped tokenizer that are a part of a character."""


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(st.integers(0, 1023) | BYTES, max_size=80))
def test_the_texts_of_tokens_are_the_text(tiny: Renderer, ids: list[int]):
    texts = tiny.token_texts(ids)
    assert len(texts) == len(ids)
    assert "".join(texts) == tiny.decode(ids)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(BYTES, min_size=20, max_size=200))
def test_bytes_that_are_no_text_do_not_wait_for_the_end(tiny: Renderer, ids: list[int]):
    stream = TextStream(tiny.decode)
    text = ""
    for count, token in enumerate(ids, start=1):
        text += stream.feed(token)
        assert tiny.decode(ids).startswith(text)
        assert len(tiny.decode(ids[:count])) - len(text) < 32
    assert text + stream.finish() == tiny.decode(ids)


def test_a_character_counts_to_the_token_that_completes_it(tiny: Renderer):
    ids = tiny.encode("北!")
    assert tiny.token_texts(ids) == ("",) * (len(ids) - 2) + ("北", "!")
    assert tiny.token_texts(ids[:1]) == ("\ufffd",)
    assert tiny.token_texts(()) == ()


@pytest.mark.parametrize("text", ["hello world", " two  spaces ", "a\ufffd\ufffdb", "é" * 30])
def test_text_survives_being_read_token_by_token(renderer: Renderer, text: str):
    assert "".join(renderer.token_texts(renderer.encode(text))) == text


class SpaceBeforeWords:
    """Spells as sentencepiece does: each word brings a space, and the first loses it."""

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(f" w{token}" for token in token_ids).removeprefix(" ")


def test_a_decoder_that_strips_the_first_space_is_followed():
    stream = TextStream(SpaceBeforeWords().decode)
    assert "".join(stream.feed(token) for token in (1, 2, 3)) == "w1 w2 w3"
