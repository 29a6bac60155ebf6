"""The tanks: a minute by hand, shifts that can be held, rewards per turn, and who holds them."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Task
from turnwright.environments import Environment, call, load_environment, say
from turnwright.environments.gallery.tank_control.environment import TankControl
from turnwright.environments.gallery.tank_control.operators import read_panel
from turnwright.environments.gallery.tank_control.plant import (
    CHANGE_AT,
    COUNTED,
    MINUTES,
    STRONGEST_PUMP,
    TOLERANCE,
    Pair,
    advance,
    held,
    make_shift,
    rounded,
)
from turnwright.environments.gallery.tank_control.scorer import LevelsHeld
from turnwright.rollout.demonstrations import run_script

TANKS = TankControl(train_tasks=40, validation_tasks=10, test_tasks=20)
TASKS = [task for split in ("train", "validation", "test") for task in TANKS.tasks(split)]
rates = st.floats(0, STRONGEST_PUMP)


class Hands(TankControl):
    """Tanks whose demonstrator sends what it is told to."""

    sent: tuple[Message, ...] = ()

    def hand(self, task: Task, seed: int) -> Sequence[Message]:
        """Send one reply after the other."""
        return self.sent


def pumps(pump_1: float, pump_2: float) -> Message:
    return call("set_pumps", pump_1=pump_1, pump_2=pump_2)


def play(*sent: Message) -> Episode:
    tanks = Hands(train_tasks=1)
    tanks.sent = sent
    return asyncio.run(run_script(tanks, next(iter(tanks.tasks("train"))), "hand", seed=0))


def rewarded(episode: Episode) -> Rewarded:
    assert isinstance(episode.outcome, Rewarded), episode.outcome
    return episode.outcome


def solve(task: Task) -> Episode:
    return asyncio.run(run_script(TANKS, task, "oracle", seed=0))


def test_a_minute_by_hand():
    # pipe = 0.5 * (50 - 44) = 3; tank 1 gets 20 - 3 - 14 = 3 litres = 1 cm, tank 2 gets 10 + 3 - 19 = -6 = -2 cm
    assert advance((50.0, 44.0), (20.0, 10.0), (14.0, 19.0)) == pytest.approx((51.0, 42.0))


@given(st.floats(0, 100), st.floats(0, 100), rates, rates)
def test_levels_stay_within_the_tanks(level_1: float, level_2: float, pump_1: float, pump_2: float):
    after = advance((level_1, level_2), (pump_1, pump_2), (20.0, 20.0))
    assert all(0 <= level <= 100 for level in after)


@given(st.floats(30, 70), st.floats(30, 70), rates, rates)
def test_water_is_neither_made_nor_lost_in_the_pipe(level_1: float, level_2: float, pump_1: float, pump_2: float):
    after = advance((level_1, level_2), (pump_1, pump_2), (20.0, 20.0))
    assert sum(after) == pytest.approx(level_1 + level_2 + (pump_1 + pump_2 - 40) / 3)


def test_a_level_is_held_within_the_tolerance_as_it_is_shown():
    assert held((51.5, 48.5), (50, 50)) == 2
    assert held((51.6, 48.4), (50, 50)) == 0
    assert rounded((51.54, 48.46)) == (51.5, 48.5)


def test_minutes_that_count():
    assert COUNTED == (4, 5, 9, 10)


def test_shifts_move_as_the_docstring_says():
    for shift in (make_shift(0, f"test-{index}") for index in range(100)):
        moves = [after - before for before, after in zip(*shift.set_points, strict=True)]
        assert (moves[0] == moves[1] and 6 <= abs(moves[0]) <= 9) or (moves[0] == -moves[1] and 4 <= abs(moves[0]) <= 5)
        for demands in zip(*shift.demands, strict=True):
            assert len(demands) == MINUTES
            assert all(16 <= demand <= 28 for demand in demands)
            steps = [abs(now - before) for before, now in pairwise(demands) if now != before]
            assert len(steps) == 2
            assert all(1.9 <= step <= 3.6 for step in steps)


def test_oracle_holds_every_shift_and_the_scorer_agrees():
    for task in TASKS:
        episode = solve(task)
        assert rewarded(episode).value == 1.0
        assert LevelsHeld().score(episode).success
        assert len(episode.turns) == MINUTES + 1


def test_the_reward_falls_in_the_turn_that_ran_the_minute():
    values = rewarded(solve(TASKS[0])).turn_values
    assert values == (*(0.25 * (minute in COUNTED) for minute in range(1, MINUTES + 1)), 0.0)


def test_calls_of_one_reply_run_one_minute_each_and_share_its_turn():
    script = [turn.reply for turn in solve(TASKS[0]).turns]
    together = Message(role="assistant", tool_calls=tuple(one for reply in script for one in reply.tool_calls))
    episode = play(together, say("done"))
    assert rewarded(episode).turn_values == (1.0, 0.0)
    assert LevelsHeld().score(episode).success


def test_stopping_early_and_refused_calls_earn_nothing():
    assert rewarded(play(say("done"))).value == 0.0
    good = [turn.reply for turn in solve(TASKS[0]).turns]
    assert rewarded(play(*good[:5], say("done"))).value == 0.5
    assert not LevelsHeld().score(play(*good[:5], say("done"))).completed
    wrong = [pumps(-1, 0), pumps(0, 61), call("set_pumps", pump_1=10**400, pump_2=0)]
    episode = play(*wrong, *good)
    assert rewarded(episode).value == 1.0
    assert rewarded(episode).turn_values[:3] == (0.0, 0.0, 0.0)


def test_the_shift_ends():
    episode = play(*[pumps(20, 20)] * (MINUTES + 1))
    assert "The shift is over." in episode.turns[MINUTES - 1].responses[0].content
    assert episode.turns[MINUTES].responses[0].content == '{"error": "the shift of 10 minutes is over: say done"}'


def test_the_panel_tells_the_set_points_of_the_next_minute():
    shift = make_shift(0, "train-0")
    panels = [read_panel(turn.responses[0].content)[1] for turn in solve(TASKS[0]).turns[:-1]]
    assert panels[: CHANGE_AT - 1] == [shift.set_points[0]] * (CHANGE_AT - 1)
    assert panels[CHANGE_AT - 1 :] == [shift.set_points[1]] * (MINUTES - CHANGE_AT + 1)


def value_of(rule: Pair) -> float:
    """Return what constant rates earn on average."""
    return sum(constant(task.data["key"], rule) for task in TASKS) / len(TASKS)


def constant(key: str, rule: Pair) -> float:
    shift = make_shift(0, key)
    levels, right = shift.levels, 0
    for minute in range(1, MINUTES + 1):
        levels = advance(levels, rule, shift.demands[minute - 1])
        right += held(rounded(levels), shift.set_points_at(minute)) * (minute in COUNTED)
    return right / (2 * len(COUNTED))


@pytest.mark.parametrize("rate", [0, 10, 20, 22, 24, 30, 60])
def test_constant_rates_earn_little(rate: float):
    assert value_of((rate, rate)) < 0.25


def test_gauge_follower_holds_some_shifts():
    values = [rewarded(asyncio.run(run_script(TANKS, task, "gauge_follower", seed=0))).value for task in TASKS]
    assert 0.1 < sum(value == 1.0 for value in values) / len(values) < 0.7
    assert TOLERANCE == 1.5


def test_tasks_are_a_function_of_the_seed_and_share_no_world():
    assert len({task.cluster for task in TASKS}) == len(TASKS)
    assert [task.prompt for task in TANKS.tasks("test")] == [task.prompt for task in TASKS[50:]]
    assert [task.prompt for task in TankControl(seed=1, test_tasks=20).tasks("test")] != [
        task.prompt for task in TASKS[50:]
    ]


def test_a_call_off_the_schema_is_answered():
    odd = Message(role="assistant", tool_calls=(ToolCall(id="", name="set_pumps", arguments='{"pump_1": "5"}'),))
    episode = play(odd, say("done"))
    assert "error" in episode.turns[0].responses[0].content
    assert rewarded(episode).value == 0.0


def test_a_negative_size_is_refused():
    with pytest.raises(ConfigError, match="tank_control: test_tasks = -1"):
        TankControl(test_tasks=-1)


def test_it_is_built_in():
    assert isinstance(load_environment("tank_control"), Environment)
