"""Which replies say one thing over and over: by hand, and against every stretch that there is."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Outcome, Rewarded
from turnwright.core.task import Task
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids
from turnwright.rollout.repetition import (
    RepetitionSettings,
    Stretch,
    describe_worst,
    find_repetitions,
    find_stretch,
)


def by_hand(ids: Sequence[int], settings: RepetitionSettings) -> Stretch | None:
    """Look at every stretch of every size: it counts if each token of it equals the one ``size`` before."""
    found = [
        Stretch(start=start, length=end - start, size=size)
        for size in range(1, settings.max_ngram_size + 1)
        for start in range(len(ids))
        for end in range(start + max(2 * size, settings.max_repeated_tokens + 1), len(ids) + 1)
        if all(ids[at] == ids[at - size] for at in range(start + size, end))
    ]
    return min(found, key=lambda one: (-one.length, one.size, one.start), default=None)


def settings(max_repeated_tokens: int, max_ngram_size: int = 30) -> RepetitionSettings:
    return RepetitionSettings(max_repeated_tokens=max_repeated_tokens, max_ngram_size=max_ngram_size)


@pytest.mark.parametrize(
    ("ids", "most", "size", "expected"),
    [
        ((9, 5, 6, 5, 6, 5, 7), 4, 30, Stretch(start=1, length=5, size=2)),
        # Five tokens are not more than five.
        ((9, 5, 6, 5, 6, 5, 7), 5, 30, None),
        ((5,) * 8, 7, 1, Stretch(start=0, length=8, size=1)),
        ((5,) * 8, 8, 30, None),
        # Twice in full: five of the six tokens come again, but the sixth does not.
        ((1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 7), 5, 30, None),
        ((1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6), 5, 30, Stretch(start=0, length=12, size=6)),
        ((1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6), 5, 5, None),
        # Not back to back.
        ((1, 2, 9, 1, 2, 8, 1, 2, 7), 2, 30, None),
        ((4, 4, 4, 1, 2, 1, 2, 1, 2), 2, 30, Stretch(start=3, length=6, size=2)),
        ((), 2, 30, None),
        ((1,), 2, 30, None),
    ],
)
def test_the_longest_stretch(ids: tuple[int, ...], most: int, size: int, expected: Stretch | None) -> None:
    assert find_stretch(ids, settings(most, size)) == expected


@given(st.lists(st.integers(0, 2), max_size=26), st.integers(2, 9), st.integers(1, 7))
def test_every_stretch_is_found(ids: list[int], most: int, size: int) -> None:
    assert find_stretch(ids, settings(most, size)) == by_hand(ids, settings(most, size))


@given(
    st.lists(st.integers(0, 9), max_size=9),
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.integers(2, 6),
    st.lists(st.integers(0, 9), max_size=9),
)
def test_a_planted_stretch_is_found_and_one_token_more_is_not_enough(
    before: list[int], ngram: list[int], times: int, after: list[int]
) -> None:
    ids, planted = [*before, *ngram * times, *after], len(ngram) * times
    if planted > 2:
        found = find_stretch(ids, settings(planted - 1))
        assert found is not None
        assert found.length >= planted
    longest = find_stretch(ids, settings(2))
    if longest is not None:
        assert find_stretch(ids, settings(longest.length)) is None


TASK = Task(id="t", prompt="?")


def attempt(number: int, *replies: tuple[int, ...], outcome: Outcome | None = None, lost: int | None = None) -> Attempt:
    key = EpisodeKey(task_id="t", attempt=number)
    turns = tuple(
        SampledTurn(
            index=index,
            parent=None,
            kind="root",
            prompt_token_ids=(1, index),
            sampled_token_ids=reply,
            logprobs=(-0.5,) * len(reply),
            policy_versions=(0,) * len(reply),
            temperature=1.0,
            top_p=1.0,
            prefix_hash=hash_ids((1, index)),
            abandoned=index == lost,
        )
        for index, reply in enumerate(replies)
    )
    return Attempt(
        episode=Episode(key=key, task=TASK, opening=(), outcome=outcome or Rewarded(value=1.0)),
        trajectory=Trajectory(key=key, turns=turns),
    )


LOOP = (3, 7, 8, 7, 8, 7, 8)
ATTEMPTS = (
    attempt(0, (1, 2, 3), (4, 5, 6)),
    attempt(1, (1, 2, 3), LOOP),
    attempt(2, LOOP, (9,) * 8),
    attempt(3, LOOP, outcome=Failed(cause="agent_error")),
    attempt(4, LOOP, lost=0),
    # Two replies that are alike are no stretch: each was sampled on its own.
    attempt(5, (1, 2, 3), (1, 2, 3), (1, 2, 3)),
)


def spell(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))


def test_replies_of_survivors_are_looked_at_one_by_one() -> None:
    found = find_repetitions(ATTEMPTS, settings(5))
    assert [(one.key.attempt, one.turn, one.length, one.ngram) for one in found.values()] == [
        (1, 1, 6, (7, 8)),
        (2, 1, 8, (9,)),
    ]
    assert find_repetitions(ATTEMPTS, None) == {}


def test_the_worst_is_named() -> None:
    found = find_repetitions(ATTEMPTS, settings(5)).values()
    assert describe_worst(found, spell) == "episode 't#2', turn 1, where 8 tokens repeat an n-gram of 1: '9'"


def test_a_long_n_gram_is_cut_in_the_message() -> None:
    ids = tuple(range(100, 125))
    (found,) = find_repetitions([attempt(0, ids * 2)], settings(30)).values()
    assert describe_worst([found], spell).endswith(f"repeat an n-gram of 25: '{spell(ids)[:60]}...'")
