"""The courier's morning: a day by hand, the best route against all routes, and who delivers in time."""

import asyncio
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError, ToolError
from turnwright.core.message import Message
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Task
from turnwright.environments import Environment, call, load_environment, say
from turnwright.environments.gallery.delivery_rounds.couriers import best_route, keep_to_plan, read_prompt, work
from turnwright.environments.gallery.delivery_rounds.day import Day
from turnwright.environments.gallery.delivery_rounds.environment import DeliveryRounds
from turnwright.environments.gallery.delivery_rounds.generator import make_morning
from turnwright.environments.gallery.delivery_rounds.records import Event, Morning, Order, clock
from turnwright.environments.gallery.delivery_rounds.scorer import AllInTime
from turnwright.environments.scripts import Script
from turnwright.rollout.demonstrations import run_script

ROUNDS = DeliveryRounds(train_tasks=40, validation_tasks=10, test_tasks=20)
TASKS = [task for split in ("train", "validation", "test") for task in ROUNDS.tasks(split)]

ROADS = {
    "Depot": {"Mill": 10, "Kiln": 20},
    "Mill": {"Depot": 10, "Kiln": 5},
    "Kiln": {"Depot": 20, "Mill": 5},
}
MILL, KILN, URGENT = (
    Order(number=1, place="Mill", due=12),
    Order(number=2, place="Kiln", due=40),
    Order(number=3, place="Depot", due=60),
)
MORNING = Morning(
    minutes=ROADS,
    orders=(MILL, KILN),
    events=(Event(minute=11, adds=URGENT), Event(minute=15, cancels=2)),
    calls_until=20,
)


class Hands(DeliveryRounds):
    """Rounds whose demonstrators do what they are told to, or keep to their first plan."""

    sent: tuple[Message, ...] = ()

    def hand(self, task: Task, seed: int) -> Sequence[Message]:
        """Send one reply after the other."""
        return self.sent

    def stubborn(self, task: Task, seed: int) -> Script:
        """Keep to the plan of 9 o'clock."""
        knowledge = read_prompt(task.prompt)
        return work(knowledge, keep_to_plan(knowledge))


HANDS = Hands(train_tasks=40, validation_tasks=10, test_tasks=20)


def play(*sent: Message) -> Episode:
    rounds = Hands(train_tasks=1)
    rounds.sent = sent
    return asyncio.run(run_script(rounds, TASKS[0], "hand", seed=0))


def value(episode: Episode) -> float:
    assert isinstance(episode.outcome, Rewarded), episode.outcome
    return episode.outcome.value


def test_a_day_by_hand():
    day = Day(MORNING)
    assert day.drive("Mill") == []
    assert day.deliver(1) == [MORNING.events[0]]  # from minute 10 to 12; the office calls in minute 11
    assert (day.minute, day.place, day.handed_over) == (12, "Mill", {1: 12})
    assert day.drive("Kiln") == [MORNING.events[1]]  # minute 17
    with pytest.raises(ToolError, match="order 2 is not open; open are: 3"):
        day.deliver(2)
    with pytest.raises(ToolError, match="order 3 goes to Depot, and you are at Kiln"):
        day.deliver(3)
    assert day.drive("Depot") == []
    assert str(day) == "09:37, at Depot\norder 3 to Depot, due 10:00"
    assert day.deliver(3) == []
    assert day.on_time() == (2, 0)
    assert [order.number for order in MORNING.wanted] == [1, 3]


def test_one_minute_late_is_late():
    day = Day(MORNING)
    day.wait(1)
    day.drive("Mill")
    day.deliver(1)
    assert day.on_time() == (0, 1)


def test_an_order_handed_over_before_its_cancellation_is_no_news():
    day = Day(MORNING)
    day.drive("Kiln")  # minute 20: cancelled on the way
    assert 2 not in day.open
    early = Day(Morning(minutes=ROADS, orders=(KILN,), events=(Event(minute=30, cancels=2),), calls_until=40))
    early.drive("Kiln")
    early.deliver(2)
    assert early.wait(20) == []


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (lambda day: day.drive("Moon"), "there is no 'Moon'; the places are Depot, Mill, Kiln"),
        (lambda day: day.drive("Depot"), "you are at Depot"),
        (lambda day: day.deliver(9), "order 9 is not open; open are: 1, 2"),
        (lambda day: day.wait(0), "minutes = 0: wait 1 to 60 minutes"),
        (lambda day: day.wait(10**6), "wait 1 to 60 minutes"),
    ],
)
def test_what_cannot_be_done_costs_no_time(act, problem: str):
    day = Day(MORNING)
    with pytest.raises(ToolError, match=problem):
        act(day)
    assert day.minute == 0


orders = st.lists(
    st.builds(Order, number=st.integers(1, 9), place=st.sampled_from(list(ROADS)), due=st.integers(0, 60)),
    max_size=4,
    unique_by=lambda order: order.number,
)


def count_in_time(route: tuple[Order, ...]) -> tuple[int, int]:
    """Return how many orders of a route are in time (negative) and when the last of these is handed over."""
    minute, place, in_time, last = 0, "Depot", 0, 0
    for order in route:
        then = minute + (0 if place == order.place else ROADS[place][order.place]) + 2
        if then <= order.due:
            minute, place, in_time, last = then, order.place, in_time + 1, then
    return -in_time, last


@settings(max_examples=60)
@given(orders)
def test_the_best_route_is_the_best_of_all(some: list[Order]):
    best = best_route(ROADS, "Depot", 0, some)
    assert sorted(order.number for order in best) == sorted(order.number for order in some)
    assert count_in_time(best) == min(map(count_in_time, permutations(some)), default=(0, 0))


def test_the_prompt_reads_back():
    morning = make_morning(0, "train-0")
    knowledge = read_prompt(morning.prompt)
    assert knowledge.roads == morning.minutes
    assert tuple(knowledge.open.values()) == morning.orders
    assert knowledge.calls_until == morning.calls_until


def test_clock():
    assert [clock(0), clock(59), clock(61)] == ["09:00", "09:59", "10:01"]


def test_oracle_delivers_everything_in_time_and_the_scorer_agrees():
    for task in TASKS:
        episode = asyncio.run(run_script(ROUNDS, task, "oracle", seed=0))
        assert value(episode) == 1.0
        assert AllInTime().score(episode).success
        assert len(episode.turns) <= ROUNDS.turn_limit


def test_whoever_keeps_to_the_first_plan_fails_every_time():
    for task in TASKS:
        episode = asyncio.run(run_script(HANDS, task, "stubborn", seed=0))
        assert value(episode) < 1.0
        assert not AllInTime().score(episode).success


def test_short_sighted_courier_succeeds_sometimes():
    episodes = [asyncio.run(run_script(ROUNDS, task, "short_sighted_courier", seed=0)) for task in TASKS]
    share = sum(value(episode) == 1.0 for episode in episodes) / len(episodes)
    assert 0.4 < share < 0.9
    assert [value(one) == 1.0 for one in episodes] == [AllInTime().score(one).success for one in episodes]


def test_done_before_the_last_call_leaves_orders_behind():
    first = play(say("done"))
    assert value(first) == 0.0
    assert not AllInTime().score(first).completed


def test_looking_costs_no_time_and_tells_no_future():
    looked = play(call("look"), call("look"), say("done"))
    assert looked.turns[0].responses[0].content == looked.turns[1].responses[0].content
    assert looked.turns[0].responses[0].content.startswith("09:00, at Depot\norder ")
    known = make_morning(0, "train-0").orders
    assert looked.turns[0].responses[0].content.count("order") == len(known)


def test_news_comes_with_the_answer():
    morning = make_morning(0, "train-0")
    waited = play(call("wait", minutes=morning.calls_until), say("done")).turns[0].responses[0].content
    assert waited.splitlines() == [f"{clock(morning.calls_until)}, at Depot", *map(str, morning.events)]


def test_events_and_later_orders_are_in_no_prompt():
    for task in TASKS:
        morning = make_morning(0, task.data["key"])
        added = [event.adds for event in morning.events if event.adds]
        assert len(added) == 2
        assert all(f"order {order.number} " not in task.prompt for order in added)
        assert morning.events[-1].minute <= morning.calls_until


def test_tasks_are_a_function_of_the_seed_and_share_no_world():
    assert len({task.cluster for task in TASKS}) == len(TASKS)
    make_morning.cache_clear()
    assert [task.prompt for task in ROUNDS.tasks("validation")] == [task.prompt for task in TASKS[40:50]]
    other = DeliveryRounds(validation_tasks=10, seed=1)
    assert [task.prompt for task in other.tasks("validation")] != [task.prompt for task in TASKS[40:50]]


def test_a_negative_size_is_refused():
    with pytest.raises(ConfigError, match="delivery_rounds: train_tasks = -3"):
        DeliveryRounds(train_tasks=-3)


def test_it_is_built_in():
    assert isinstance(load_environment("delivery_rounds"), Environment)
