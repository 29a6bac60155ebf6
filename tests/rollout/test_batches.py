"""Which tasks a step has: one environment pass by pass, a mixture by quota, both the same however often asked."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.config import RunConfig, resolve_values
from turnwright.core.errors import ConfigError
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.rollout.batches import Batches, Dealt, batch_record
from turnwright.rundir.records import BatchGroup, BatchRecord


def configure(weights: dict[str, float], *, size: int = 3, seed: int = 1, **schedule: Any) -> RunConfig:
    members = {domain: {"name": "procedures", "weight": weight} for domain, weight in weights.items()}
    values = {
        "environment": {"mixture": members} if weights else {"name": "procedures"},
        "algorithm": {"global_batch_size": size, "updates_per_step": 1},
        "run": {"seed": seed},
        "schedule": schedule,
    }
    return resolve_values(values, source="test").config


def tasks(**sizes: int) -> list[Task]:
    return [
        Task(id=f"{domain}/{index}", prompt="?", domain=domain)
        for domain, size in sizes.items()
        for index in range(size)
    ]


def counts(dealt: list[Dealt]) -> Counter[str | None]:
    return Counter(one.task.domain for one in dealt)


def test_one_environment_goes_through_its_tasks_in_another_order_each_pass() -> None:
    plain = [Task(id=str(index), prompt="?") for index in range(7)]
    batches = Batches(configure({}, max_epochs=None, max_steps=9), plain)
    orders = []
    for epoch in range(2):
        order = list(plain)
        generator(1, "task order", epoch).shuffle(order)
        orders.append(order)
    assert [one.task for step in (1, 2) for one in batches.deal(step)] == orders[0][:6]
    assert [(one.task, one.epoch) for one in batches.deal(4)] == [(task, 1) for task in orders[1][3:6]]
    assert (batches.total, batches.steps_per_epoch, batches.domains) == (9, 2, ())
    assert [batches.metrics(step) for step in (2, 3)] == [{"training/epoch": 0.0}, {"training/epoch": 1.0}]


def test_a_step_has_its_quota_and_each_domain_its_own_passes() -> None:
    # Weights 2 and 1, three groups per step: always two and one. Domain b has two tasks, so step 3 begins its pass 1.
    batches = Batches(configure({"a": 2, "b": 1}, max_steps=8, max_epochs=2), tasks(a=8, b=2))
    steps = [batches.deal(step) for step in range(1, 9)]
    assert all(counts(dealt) == {"a": 2, "b": 1} for dealt in steps)
    of_b = [one for dealt in steps for one in dealt if one.task.domain == "b"]
    assert [one.epoch for one in of_b] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all({one.task.id for one in of_b[at : at + 2]} == {"b/0", "b/1"} for at in range(0, 8, 2))
    of_a = [one for dealt in steps for one in dealt if one.task.domain == "a"]
    assert len({(one.task.id, one.epoch) for one in of_a}) == 16
    assert batches.metrics(3) == {
        "training/epoch": 0.0,
        "a/rollout/groups": 2.0,
        "a/training/epoch": 0.0,
        "b/rollout/groups": 1.0,
        "b/training/epoch": 1.0,
    }
    # A run's pass is that of the domain furthest back: a's eight tasks last four steps.
    assert (batches.steps_per_epoch, batches.total) == (4, 8)
    assert batches.metrics(5)["training/epoch"] == 1.0


@pytest.mark.parametrize(
    ("sizes", "epochs", "most", "total"),
    [
        # a takes two groups of each step: 8 / 2 steps; b would be through after two.
        ({"a": 8, "b": 2}, 1, 50, 4),
        ({"a": 8, "b": 2}, 3, 50, 12),
        ({"a": 8, "b": 9}, 1, 50, 9),
        ({"a": 8, "b": 9}, 1, 6, 6),
        ({"a": 8, "b": 2}, None, 50, 50),
        # Nine groups of a take four and a half steps: the fifth ends the pass.
        ({"a": 9, "b": 1}, 1, 50, 5),
    ],
)
def test_a_run_ends_when_every_domain_has_made_its_passes(
    sizes: dict[str, int], epochs: int | None, most: int, total: int
) -> None:
    config = configure({"a": 2, "b": 1}, max_epochs=epochs, max_steps=most, val_every=0)
    assert Batches(config, tasks(**sizes)).total == total


def test_a_domain_smaller_than_its_quota_repeats_a_task_with_new_attempts() -> None:
    dealt = Batches(configure({"a": 1, "b": 1}, size=6, max_steps=21), tasks(a=9, b=2)).deal(1)
    of_b = Counter((one.task.id, one.epoch) for one in dealt if one.task.domain == "b")
    assert sorted(epoch for _, epoch in of_b) == [0, 0, 1]
    assert set(of_b.values()) == {1}


@given(
    st.dictionaries(
        st.sampled_from("abcde"), st.tuples(st.sampled_from((0.5, 1.0, 2.0, 3.5)), st.integers(1, 9)), min_size=1
    ),
    st.integers(1, 7),
    st.integers(0, 99),
)
def test_shares_stay_within_one_group_and_nothing_depends_on_what_was_asked_before(
    members: dict[str, tuple[float, int]], size: int, seed: int
) -> None:
    weights = {domain: weight for domain, (weight, _) in members.items()}
    given_tasks = tasks(**{domain: number for domain, (_, number) in members.items()})
    config = configure(weights, size=size, seed=seed, max_steps=50)
    batches = Batches(config, given_tasks)
    whole, so_far = sum(map(Fraction, weights.values())), Counter[str | None]()
    for step in range(1, 12):
        dealt = batches.deal(step)
        assert len(dealt) == size
        so_far += counts(dealt)
        for domain, weight in weights.items():
            assert abs(so_far[domain] - Fraction(weight) * step * size / whole) < 1
            assert batches.num_groups(step, domain) == so_far[domain]
    # Resumed: another process asks for step 11 alone, with members and tasks written in another order.
    turned = configure(dict(reversed(weights.items())), size=size, seed=seed, max_steps=50)
    by_domain = sorted(given_tasks, key=lambda task: task.domain or "", reverse=True)
    assert Batches(turned, by_domain).deal(11) == batches.deal(11)


def test_the_order_within_a_step_is_drawn_by_the_seed() -> None:
    made = [
        [
            one.task.domain
            for one in Batches(configure({"a": 1, "b": 1}, size=8, seed=seed, max_steps=21), tasks(a=9, b=9)).deal(1)
        ]
        for seed in range(5)
    ]
    assert len({tuple(order) for order in made}) > 1
    assert all(Counter(order) == {"a": 4, "b": 4} for order in made)


def test_a_domain_without_training_tasks_is_refused() -> None:
    with pytest.raises(ConfigError, match="domain 'b' of the mixture has no training tasks"):
        Batches(configure({"a": 1, "b": 1}, max_steps=21), tasks(a=9))


def test_what_is_recorded_of_a_batch() -> None:
    dealt = [Dealt(task=Task(id="a/1", prompt="?", domain="a"), epoch=2)]
    expected = BatchRecord(step=4, groups=(BatchGroup(task="a/1", domain="a", epoch=2),))
    assert batch_record(4, dealt) == expected
