"""The example environment is solved by its oracle and has no task twice."""

from collections.abc import Callable
from pathlib import Path

from turnwright.core.episode import Episode
from turnwright.core.task import Split
from turnwright.environments import load_environment

ORDERS = load_environment(f"{Path(__file__).parents[2] / 'examples' / 'orders' / 'environment.py'}:Orders")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def test_oracle_solves_every_order(play: Callable[..., Episode]) -> None:
    tasks = [task for split in SPLITS for task in ORDERS.tasks(split)]
    assert len({task.id for task in tasks}) == len(tasks) == 420
    assert all(ORDERS.reward(play(ORDERS, task)) == 1.0 for task in tasks)


def test_most_common_city_is_far_from_enough() -> None:
    tasks = list(ORDERS.tasks("test"))
    cities = [task.data["gold"]["city"] for task in tasks]
    assert max(cities.count(city) for city in cities) / len(tasks) < 0.4
