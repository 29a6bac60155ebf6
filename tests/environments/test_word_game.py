"""The word game: colours by hand, the order of what games are worth, and games that are really played."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.outcome import Rewarded, Truncated
from turnwright.environments import Environment, load_environment, say
from turnwright.environments.gallery.word_game.environment import WordGame
from turnwright.environments.gallery.word_game.rules import TRIES, care, colours_of, read_guess, worth
from turnwright.environments.gallery.word_game.scorer import FoundWord
from turnwright.environments.gallery.word_game.words import WORDS
from turnwright.environments.scripts import Script
from turnwright.rollout.demonstrations import run_script

GAME = WordGame(train_tasks=60, validation_tasks=20, test_tasks=20)
TASKS = {split: list(GAME.tasks(split)) for split in ("train", "validation", "test")}
words = st.sampled_from(WORDS)


class Replies(WordGame):
    """A game whose demonstrator says what it is told to."""

    said: tuple[str, ...] = ()

    def talker(self, task, seed) -> Script:
        """Say one reply after the other."""
        for text in self.said:
            yield say(text)


def play(*replies: str, word: str = "crane") -> Episode:
    game = Replies(train_tasks=len(WORDS), validation_tasks=0, test_tasks=0)
    game.said = tuple(replies)
    task = next(task for task in game.tasks("train") if task.data["word"] == word)
    return asyncio.run(run_script(game, task, "talker", seed=0))


def value(*replies: str, word: str = "crane") -> float:
    outcome = play(*replies, word=word).outcome
    assert isinstance(outcome, Rewarded | Truncated)
    return outcome.value


def test_words_are_five_letters_in_order_and_all_different():
    assert list(WORDS) == sorted(set(WORDS))
    assert all(read_guess(word) == word for word in WORDS)


@pytest.mark.parametrize(
    ("guess", "word", "colours"),
    [
        ("crane", "crane", "ggggg"),
        ("allee", "eagle", "yy-yg"),  # the last e is green, the other yellow; the second l is one too many
        ("speed", "abide", "--y-y"),
        ("eerie", "cheer", "yyy--"),
        ("lilly", "hello", "--gg-"),
    ],
)
def test_colours(guess: str, word: str, colours: str):
    assert "".join(colours_of(guess, word)) == colours


@given(words, words)
def test_greens_and_yellows_are_the_letters_in_common(guess: str, word: str):
    colours = colours_of(guess, word)
    assert [colour == "g" for colour in colours] == [a == b for a, b in zip(guess, word, strict=True)]
    assert sum(colour != "-" for colour in colours) == (Counter(guess) & Counter(word)).total()


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("crane", "crane"),
        (" Crane.\n", "crane"),
        ("<think>stone?</think>crane", "crane"),
        ("crane stone", None),
        ("cran", None),
        ("cranes", None),
        ("", None),
        ("crané", None),
    ],
)
def test_a_guess_is_one_word_of_five_letters(text: str, guess: str | None):
    assert read_guess(text) == guess


def test_care_counts_guesses_that_fit_all_feedback():
    # stone tells that the word begins otherwise and ends in ne; slate is excluded by the first letter, crane fits.
    assert care(["stone", "crane"], 0, "crane") == 1.0
    assert care(["stone", "slate", "crane"], 0, "crane") == pytest.approx(2 * 2 / 3 - 1)
    assert care(["stone", "crane"], 2, "crane") == 0.0
    assert care([], 3, "crane") == -1.0


def test_a_sooner_win_beats_a_later_one_beats_a_loss_beats_no_game_whatever_the_care():
    def extremes(guesses: list[str]) -> tuple[float, float]:
        """Return what the outcome is worth with the least and with the most care that formula allows."""
        parts = worth(guesses, 0, "crane")
        weight = 0.04 if guesses[-1:] == ["crane"] else 0.15
        return parts["outcome"] - weight, parts["outcome"] + weight

    wins = [extremes(["stone"] * number + ["crane"]) for number in range(TRIES)]
    order = [*wins, extremes(["stone"] * TRIES), extremes([])]
    assert all(worse[1] < better[0] for better, worse in pairwise(order))
    assert min(low for low, _ in wins) == pytest.approx(1.01)
    assert (order[-1][0], order[0][1]) == pytest.approx(GAME.reward_range)


def test_played_games_are_worth_what_the_rules_say():
    assert value("crane") == pytest.approx(1.55 + 0.04)
    assert value("stone", "crane") == pytest.approx(1.45 + 0.04)
    assert value("slate", "slate", "crane") == pytest.approx(1.45 + 0.04 / 3)
    assert value("about", "actor", "adopt", "after", "again", "agree") == pytest.approx(-0.5 + 0.15 * (2 / 6 - 1))
    assert value("no", "I pass") == pytest.approx(-1.5 - 0.15)


def test_what_the_game_says():
    game = play("crown", "crown", "what is it", "crane", word="crane")
    told = [message.content for message in game.messages if message.role == "user"][1:]
    assert told == [
        "crown: c green, r green, o grey, w grey, n yellow\n5 guesses left.",
        "You had crown before. 5 guesses left.",
        "That is not one word of 5 letters. 5 guesses left.",
    ]


def test_the_word_is_hidden_until_it_is_found():
    for task in TASKS["test"]:
        episode = asyncio.run(run_script(GAME, task, "oracle", seed=0))
        seen = [message.content for message in episode.messages if message.role != "assistant"]
        assert not any(task.data["word"] in text for text in seen)


def test_refused_replies_end_the_game_in_time():
    assert len(play(*["pass"] * 100).turns) == 4 * GAME.turn_limit  # as many as a script may have


def test_oracle_finds_every_word_and_the_scorer_agrees():
    for task in [task for tasks in TASKS.values() for task in tasks]:
        episode = asyncio.run(run_script(GAME, task, "oracle", seed=0))
        assert isinstance(episode.outcome, Rewarded)
        assert episode.outcome.value > 1.0
        assert FoundWord().score(episode).success
        assert len(episode.turns) <= TRIES


def test_forgetful_guesser_finds_some():
    episodes = [asyncio.run(run_script(GAME, task, "forgetful_guesser", seed=1)) for task in TASKS["train"]]
    found = [FoundWord().score(episode).success for episode in episodes]
    assert 0.2 < sum(found) / len(found) < 0.8
    assert found == [isinstance(one.outcome, Rewarded) and one.outcome.value > 1.0 for one in episodes]


def test_scorer_does_not_count_a_seventh_guess():
    game = play("about", "actor", "adopt", "after", "again", "agree", "crane")
    assert not FoundWord().score(game).success
    assert not FoundWord().score(play("pass")).completed


def test_no_word_is_in_two_splits_and_another_seed_deals_others():
    clusters = [task.cluster for tasks in TASKS.values() for task in tasks]
    assert len(set(clusters)) == len(clusters)
    assert [task.data["word"] for task in GAME.tasks("test")] == [task.data["word"] for task in TASKS["test"]]
    other = WordGame(train_tasks=60, validation_tasks=20, test_tasks=20, seed=1)
    assert [task.data["word"] for task in other.tasks("test")] != [task.data["word"] for task in TASKS["test"]]


@pytest.mark.parametrize("options", [{"train_tasks": -1}, {"train_tasks": 5000}])
def test_impossible_sizes_are_refused(options: dict[str, int]):
    with pytest.raises(ConfigError, match="word_game"):
        WordGame(**options)


def test_it_is_built_in():
    assert isinstance(load_environment("word_game"), Environment)
