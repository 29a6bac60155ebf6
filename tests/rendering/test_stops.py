import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.rendering.renderer import Renderer
from turnwright.rendering.stops import StopFilter, cut_at_stop, possible_start

letters = st.text("ab\n", max_size=12)


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [("abc", (), "abc"), ("abcabc", ("bc",), "a"), ("abcd", ("d", "bc"), "a"), ("abc", ("x",), "abc")],
)
def test_text_is_cut_before_the_earliest(text: str, stop: tuple[str, ...], expected: str):
    assert cut_at_stop(text, stop) == expected


def test_only_a_proper_beginning_counts_as_possible():
    assert possible_start("see <tool", ("<tool_call>",)) == 4
    assert possible_start("see <tool_call>", ("<tool_call>",)) == len("see <tool_call>")
    assert possible_start("abab", ("abac", "bx")) == 2


@given(texts=st.lists(letters, max_size=8), stop=st.lists(letters.filter(bool), max_size=3))
def test_the_filter_lets_a_beginning_of_the_cut_text_through(texts: list[str], stop: list[str]):
    held = StopFilter(stop)
    cut = cut_at_stop("".join(texts), stop)
    through = ""
    for text in texts:
        through += held.feed(text)
        assert cut.startswith(through)
    assert len(cut) - len(through) < max(map(len, stop), default=1)


def test_a_reply_is_cut_before_its_stop_text(tiny: Renderer):
    ids = (*tiny.encode("order: O3 END<tool_call>"), *tiny.stop_token_ids)
    message = tiny.parse_reply(ids, turn=0, stop=("END", "zzz"))
    assert (message.content, message.tool_calls) == ("order: O3 ", ())


@pytest.mark.parametrize("stop", ["END", "北京", " a stop text of many words and more than a few tokens.", "\n\n"])
def test_the_engine_is_told_at_the_token_that_completes_a_stop_text(tiny: Renderer, stop: str):
    ids = tiny.encode(f"北 something before, 北{stop}")
    told = [tiny.has_stop(ids[:count], ("zzz", stop)) for count in range(1, len(ids) + 1)]
    assert told == [False] * (len(ids) - 1) + [True]
    assert not tiny.has_stop(ids, ())


def test_the_stop_token_is_no_stop_text(tiny: Renderer):
    ids = (*tiny.encode("done"), *tiny.stop_token_ids)
    assert not tiny.has_stop(ids, ("<|im_end|>",))
    assert tiny.has_stop((*ids, *tiny.encode("x")), ("<|im_end|>",))
