"""What counts as the same prompt."""

import pytest

from turnwright.datasets.text import hash_prompt, normalise


@pytest.mark.parametrize(
    ("one", "other"),
    [("Refund  order_O3!", "refund order o3"), ("\uff21BC", "abc"), ("5-3", "5 - 3"), ("stra\u00dfe", "STRASSE")],
)
def test_case_spacing_and_punctuation_do_not_count(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)
    assert hash_prompt(one) == hash_prompt(other)


@pytest.mark.parametrize(
    ("one", "other"), [("5 - 3", "5 + 3"), ("x-3", "x+3"), ("3.5", "35"), ("?!", "..."), ("order O3", "order O4")]
)
def test_what_changes_the_question_counts(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)
