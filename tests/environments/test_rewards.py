"""Rewards by hand-computed numbers, their ranges, and the laws by which nothing but work earns them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.episode import Episode, EpisodeKey, ToolOutcome, Turn
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Task
from turnwright.environments.base import read_reward
from turnwright.environments.rewards import (
    coverage_gate,
    field_accuracy,
    num_calls,
    per_turn,
    progress,
    tiered_outcome,
    tool_spam_cap,
    tools_answered,
    with_format,
)

GOLD = {"action": "repair", "days": 3, "urgent": True, "part": None}
REWARDS = st.floats(-1, 1).map(lambda total: {"total": total, "field_accuracy": 0.5})


@pytest.mark.parametrize(
    ("answer", "accuracy"),
    [
        (GOLD, 1.0),
        ({**GOLD, "action": "Replace"}, 0.75),
        ({**GOLD, "urgent": 1}, 0.75),
        ({**GOLD, "days": 3.0}, 1.0),
        ({**GOLD, "days": "3"}, 0.75),
        ({**GOLD, "extra": "repair"}, 0.8),
        ({"action": "repair"}, 0.25),
        ({}, 0.0),
        (None, 0.0),
    ],
)
def test_fields_are_counted_and_what_nobody_asked_for_is_wrong(answer: dict[str, object] | None, accuracy: float):
    assert field_accuracy(answer, GOLD) == {"total": accuracy, "field_accuracy": accuracy}


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2)), st.sampled_from("uvwxyz"))
def test_one_more_field_than_asked_never_pays(answer: dict[str, int], extra: str):
    gold = {"a": 0, "b": 1, "c": 2}
    assert field_accuracy({**answer, extra: 0}, gold)["total"] <= field_accuracy(answer, gold)["total"]


def test_form_is_a_cost_and_no_bonus():
    right = field_accuracy(GOLD, GOLD)
    assert with_format(right, emitted=True) == {"total": 1.0, "field_accuracy": 1.0, "emitted": 1.0}
    assert with_format(field_accuracy(None, GOLD), emitted=False) == {
        "total": -0.1,
        "field_accuracy": 0.0,
        "emitted": 0.0,
    }
    assert with_format({"total": 0.5}, emitted=False, coefficient=0.25)["total"] == 0.25


def test_a_gate_pays_in_proportion_to_the_steps_taken():
    reward = {"total": 0.8, "field_accuracy": 0.8}
    assert coverage_gate(reward, {"look", "other"}, {"look", "ask"}) == {
        "total": 0.4,
        "field_accuracy": 0.8,
        "coverage": 0.5,
    }
    assert coverage_gate(reward, [], ["look"])["total"] == 0.0
    assert coverage_gate(reward, ["look", "look"], ["look"])["total"] == 0.8
    assert coverage_gate(reward, [], [])["total"] == 0.8
    assert coverage_gate({"total": -0.1}, [], ["look"])["total"] == -0.1


@given(REWARDS, st.sets(st.sampled_from("abcd")), st.sampled_from("abcd"))
def test_a_gate_never_pays_for_leaving_a_step_out(reward: dict[str, float], covered: set[str], more: str):
    assert coverage_gate(reward, covered | {more}, "abcd")["total"] >= coverage_gate(reward, covered, "abcd")["total"]


@pytest.mark.parametrize(("calls", "spam"), [(0, 0.0), (5, 0.0), (7, -0.02), (10, -0.05), (14, -0.05), (10**6, -0.05)])
def test_calls_beyond_the_free_ones_cost_up_to_the_cap(calls: int, spam: float):
    reward = tool_spam_cap({"total": 1.0}, calls, free=5, cost=0.01, cap=0.05)
    assert reward == pytest.approx({"total": 1.0 + spam, "spam": spam})


@given(REWARDS, st.integers(0, 100))
def test_another_call_never_pays(reward: dict[str, float], calls: int):
    assert tool_spam_cap(reward, calls + 1, free=4)["total"] <= tool_spam_cap(reward, calls, free=4)["total"]


def test_tiers_by_hand():
    assert tiered_outcome(played=True, solved=True, speed=0.4, shaping=-0.5) == pytest.approx(
        {"total": 1.23, "outcome": 1.25, "shaping": -0.02}
    )
    assert tiered_outcome(played=True, solved=False, shaping=9.0)["total"] == pytest.approx(-0.35)
    assert tiered_outcome(played=False, solved=False, shaping=-1.0)["total"] == pytest.approx(-1.65)


@pytest.mark.parametrize(("better", "worse"), [(1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, 1.0), (-99.0, 99.0)])
def test_no_shaping_changes_the_order_of_outcomes(better: float, worse: float):
    """Fast win > slow win > loss > never played, with the shaping of each pair at either extreme."""
    speeds = [1 - turn / 5 for turn in range(6)]
    outcomes = [{"played": True, "solved": True, "speed": speed} for speed in speeds]
    outcomes += [{"played": True, "solved": False}, {"played": False, "solved": False}]
    for first, second in pairwise(outcomes):
        assert tiered_outcome(**first, shaping=better)["total"] > tiered_outcome(**second, shaping=worse)["total"]
    assert all(tiered_outcome(**outcome, shaping=-1.0)["total"] >= 1.01 for outcome in outcomes[:6])


@given(st.lists(st.integers(-8, 8), max_size=9), st.integers(-8, 8))
def test_rewards_by_turn_sum_to_the_reward(values: list[int], total: int):
    rewards = per_turn(values, {"total": total, "right": 1.0})
    grade = read_reward(rewards, num_turns=len(values))
    assert grade.value == (sum(values) + total if values else 0)
    assert grade.turn_values[:-1] == tuple(values[:-1])
    assert grade.components == ({"right": 1.0, "turns": sum(values)} if values else {"right": 1.0})


@given(st.lists(st.integers(-8, 8), min_size=1, max_size=9))
def test_progress_depends_on_the_ends_alone(potentials: list[int]):
    assert len(progress(potentials)) == len(potentials) - 1
    assert sum(progress(potentials)) == potentials[-1] - potentials[0]


def test_calls_of_an_episode_are_read_off_its_turns():
    def turn(*outcomes: ToolOutcome) -> Turn:
        calls = tuple(ToolCall(id=str(at), name=one.name, arguments="{}") for at, one in enumerate(outcomes))
        return Turn(reply=Message(role="assistant", tool_calls=calls), tools=outcomes)

    turns = (
        turn(ToolOutcome(name="look"), ToolOutcome(name="ask", error=True)),
        turn(ToolOutcome(name="ask", error=True, malformed=True)),
        turn(),
    )
    episode = Episode(key=EpisodeKey(task_id="t", attempt=0), task=Task(id="t", prompt=""), opening=(), turns=turns)
    assert num_calls(episode) == 3
    assert tools_answered(episode) == {"look"}
