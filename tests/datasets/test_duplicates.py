"""Which rows occur again, and which of them cross from one part into another."""

import random
import time

import pytest

from turnwright.core.task import Task
from turnwright.datasets import find_duplicates

LONG = "please look up the order of this customer and decide whether a refund is due under the policy in force"


def tasks(*prompts: str) -> list[Task]:
    return [Task(id=f"r{i}", prompt=prompt) for i, prompt in enumerate(prompts, start=1)]


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        (LONG, "exact"),
        (f"  {LONG.upper()}!", "normalised"),
        # 20 words make 18 shingles; one more word adds one: 18 of 19.
        (f"{LONG} today", "near"),
    ],
)
def test_a_repetition_is_contamination_between_parts_and_a_duplicate_within_one(prompt: str, kind: str) -> None:
    (crossing,) = find_duplicates({"train": tasks("x", LONG), "test": tasks(prompt)})
    assert (crossing.code, crossing.severity, crossing.where) == (f"contamination.{kind}", "error", "test, 'r1'")
    assert "train, 'r2'" in crossing.evidence
    (within,) = find_duplicates({"train": tasks("x", LONG, prompt)})
    assert (within.code, within.severity, within.where) == (f"duplicate.{kind}", "warning", "train, 'r3'")
    assert "train, 'r2'" in within.evidence


def test_similarity_is_told() -> None:
    (finding,) = find_duplicates({"a": tasks(LONG), "b": tasks(f"{LONG} today")})
    assert "shares 95% of its three-word shingles with a, 'r1'" in finding.evidence


def test_prompts_that_differ_in_more_than_a_fifth_are_different() -> None:
    words = LONG.split()
    assert find_duplicates({"a": tasks(LONG, "order: O3"), "b": tasks(" ".join(words[:10]), "order: O4", "?")}) == ()


def test_a_row_in_another_part_goes_before_one_in_the_own() -> None:
    findings = find_duplicates({"train": tasks(f"{LONG} today"), "test": tasks(LONG, LONG)})
    assert [(one.code, one.where) for one in findings] == [
        ("contamination.near", "test, 'r1'"),
        ("contamination.near", "test, 'r2'"),
    ]


def test_contamination_does_not_depend_on_which_part_comes_first() -> None:
    one, other = tasks(LONG, "first"), tasks("second", f"{LONG} today")
    ways = (find_duplicates({"a": one, "b": other}), find_duplicates({"b": other, "a": one}))
    assert [[finding.code for finding in found] for found in ways] == [["contamination.near"]] * 2


@pytest.mark.slow
def test_thousands_of_prompts_take_seconds() -> None:
    draw = random.Random(0)
    vocabulary = [f"word{i}" for i in range(2000)]
    prompts = [" ".join(draw.choices(vocabulary, k=20)) for _ in range(2000)]
    copies = [f"{prompt} again" for prompt in prompts[:100]]
    started = time.process_time()
    found = find_duplicates({"train": tasks(*prompts), "test": tasks(*copies)})
    assert [finding.where for finding in found] == [f"test, 'r{i}'" for i in range(1, 101)]
    assert time.process_time() - started < 10
