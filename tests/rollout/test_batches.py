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


def test_what_filling_takes_comes_next_in_the_order_and_the_next_step_goes_on_behind_it() -> None:
    plain = [Task(id=str(index), prompt="?") for index in range(7)]
    batches = Batches(configure({}, max_epochs=None, max_steps=9), plain)
    order = [one.task.id for step in (1, 2) for one in batches.deal(step)]
    first = batches.deal(1)
    more = batches.deal_more(1, first[1:], {}, round=1)
    again = batches.deal_more(1, more[:1], {None: 2}, round=2)
    assert [(one.task.id, one.epoch, one.round) for one in (*more, *again)] == [
        (order[3], 0, 1),
        (order[4], 0, 1),
        (order[5], 0, 2),
    ]
    # Six of the seven tasks are a pass: step 2 begins the next one, as step 3 does without filling.
    taken = batches.taken([batch_record(1, [first[0], again[0], more[1]], [first[1], first[2], more[0]])])
    assert taken == {None: 3}
    assert batches.deal(2, taken) == batches.deal(3)
    assert batches.metrics(2, taken) == {"training/epoch": 1.0}
    assert batches.total == 9


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.tuples(st.sampled_from((0.5, 1.0, 2.0, 3.5)), st.integers(1, 9)), max_size=3
    ),
    st.integers(1, 5),
    st.lists(st.lists(st.sets(st.integers(0, 4)), max_size=3), min_size=1, max_size=6),
)
def test_filling_leaves_no_task_out_and_deals_none_twice_in_a_pass(
    members: dict[str, tuple[float, int]], size: int, steps: list[list[set[int]]]
) -> None:
    weights = {domain: weight for domain, (weight, _) in members.items()}
    given_tasks = tasks(**{domain: number for domain, (_, number) in members.items()})
    given_tasks = given_tasks or [Task(id=str(index), prompt="?") for index in range(11)]
    config = configure(weights, size=size, max_steps=50, max_epochs=None)
    batches = Batches(config, given_tasks)
    dealt: list[Dealt] = []
    records: list[BatchRecord] = []
    for step, rounds in enumerate(steps, start=1):
        taken = batches.taken(records)
        trained, replaced = batches.deal(step, taken), list[Dealt]()
        dealt += sorted(trained, key=lambda one: one.epoch)
        shares = counts(trained)
        for round, places in enumerate(rounds, start=1):
            leaving = [place for place in sorted(places) if place < size]
            so_far = taken + batches.taken([batch_record(step, trained, replaced)])
            fresh = batches.deal_more(step, [trained[place] for place in leaving], so_far, round=round)
            replaced += [trained[place] for place in leaving]
            for place, one in zip(leaving, fresh, strict=True):
                trained[place] = one
            dealt += fresh
        assert counts(trained) == shares
        records.append(batch_record(step, trained, replaced))
    for domain in batches.domains or (None,):
        own = [one for one in dealt if one.task.domain == domain]
        whole = batches.num_tasks(domain) if domain else 11 // size * size
        passes = [
            [one.task.id for one in own if one.epoch == epoch] for epoch in range(own[-1].epoch + 1 if own else 0)
        ]
        assert [len(set(ids)) for ids in passes] == [len(ids) for ids in passes]
        assert all(len(ids) == whole for ids in passes[:-1])


def test_what_is_recorded_of_a_batch() -> None:
    kept, left = (Dealt(task=Task(id=f"a/{n}", prompt="?", domain="a"), epoch=2, round=2 - n) for n in (1, 2))
    expected = BatchRecord(
        step=4,
        groups=(
            BatchGroup(task="a/1", domain="a", epoch=2, round=1),
            BatchGroup(task="a/2", domain="a", epoch=2, replaced=True),
        ),
    )
    assert batch_record(4, [kept], [left]) == expected
