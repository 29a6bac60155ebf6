"""Which tasks a step has: one environment pass by pass, a mixture by quota, both the same however often asked."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.config import RunConfig, resolve_values
from turnwright.core.errors import ConfigError, RunDirectoryError
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.rollout.batches import Batches, Dealer, Dealt
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


def deal(dealer: Dealer, number: int) -> list[Dealt]:
    """Return the next regular groups."""
    return [dealt for _ in range(number) if (dealt := dealer.deal(version=0)) is not None]


def steps_of(batches: Batches, number: int) -> list[list[Dealt]]:
    """Return the regular groups of the first steps."""
    dealer = Dealer(batches)
    return [deal(dealer, batches.size) for _ in range(number)]


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
    steps = steps_of(batches, 4)
    assert [one.task for step in steps[:2] for one in step] == orders[0][:6]
    assert [(one.task, one.epoch) for one in steps[3]] == [(task, 1) for task in orders[1][3:6]]
    assert [one.number for one in steps[3]] == [9, 10, 11]
    assert (batches.total, batches.steps_per_epoch, batches.domains) == (9, 2, ())
    assert [batches.metrics(step) for step in (2, 3)] == [{"training/epoch": 0.0}, {"training/epoch": 1.0}]


def test_a_step_has_its_quota_and_each_domain_its_own_passes() -> None:
    # Weights 2 and 1, three groups per step: always two and one. Domain b has two tasks, so step 3 begins its pass 1.
    batches = Batches(configure({"a": 2, "b": 1}, max_steps=8, max_epochs=2), tasks(a=8, b=2))
    steps = steps_of(batches, 8)
    assert all(counts(dealt) == {"a": 2, "b": 1} for dealt in steps)
    of_b = [one for dealt in steps for one in dealt if one.task.domain == "b"]
    assert [one.epoch for one in of_b] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all({one.task.id for one in of_b[at : at + 2]} == {"b/0", "b/1"} for at in range(0, 8, 2))
    of_a = [one for dealt in steps for one in dealt if one.task.domain == "a"]
    assert len({(one.task.id, one.epoch) for one in of_a}) == 16
    assert batches.metrics(3) == {
        "training/epoch": 0.0,
        "a/training/epoch": 0.0,
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
    (dealt,) = steps_of(Batches(configure({"a": 1, "b": 1}, size=6, max_steps=21), tasks(a=9, b=2)), 1)
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
def test_shares_stay_within_one_group_and_the_order_of_what_is_given_does_not_count(
    members: dict[str, tuple[float, int]], size: int, seed: int
) -> None:
    weights = {domain: weight for domain, (weight, _) in members.items()}
    given_tasks = tasks(**{domain: number for domain, (_, number) in members.items()})
    config = configure(weights, size=size, seed=seed, max_steps=50, max_epochs=None)
    batches = Batches(config, given_tasks)
    whole, so_far = sum(map(Fraction, weights.values())), Counter[str | None]()
    steps = steps_of(batches, 11)
    for step, dealt in enumerate(steps, start=1):
        assert len(dealt) == size
        so_far += counts(dealt)
        for domain, weight in weights.items():
            assert abs(so_far[domain] - Fraction(weight) * step * size / whole) < 1
            assert batches.num_groups(step, domain) == so_far[domain]
    turned = configure(dict(reversed(weights.items())), size=size, seed=seed, max_steps=50, max_epochs=None)
    by_domain = sorted(given_tasks, key=lambda task: task.domain or "", reverse=True)
    assert steps_of(Batches(turned, by_domain), 11) == steps


def test_the_order_within_a_step_is_drawn_by_the_seed() -> None:
    made = [
        [
            one.task.domain
            for one in deal(
                Dealer(Batches(configure({"a": 1, "b": 1}, size=8, seed=seed, max_steps=21), tasks(a=9, b=9))), 8
            )
        ]
        for seed in range(5)
    ]
    assert len({tuple(order) for order in made}) > 1
    assert all(Counter(order) == {"a": 4, "b": 4} for order in made)


def test_a_step_is_dealt_in_the_order_that_its_number_and_the_seed_draw() -> None:
    batches = Batches(configure({"a": 2, "b": 1}, size=3, max_steps=8, max_epochs=2), tasks(a=8, b=2))
    orders = {domain: list(own) for domain, own in (("a", tasks(a=8)), ("b", tasks(b=2)))}
    for domain, order in orders.items():
        generator(1, "task order", domain, 0).shuffle(order)
    # The quota gives the groups 0 and 1 of three to a, and the last to b.
    for step, dealt in enumerate(steps_of(batches, 2), start=1):
        expected = [*orders["a"][2 * step - 2 : 2 * step], orders["b"][step - 1]]
        generator(1, "mixture order", step).shuffle(expected)
        assert [one.task for one in dealt] == expected


def test_a_domain_without_training_tasks_is_refused() -> None:
    with pytest.raises(ConfigError, match="domain 'b' of the mixture has no training tasks"):
        Batches(configure({"a": 1, "b": 1}, max_steps=21), tasks(a=9))


def test_what_is_dealt_in_place_of_another_comes_next_in_the_order_and_the_next_step_goes_on_behind_it() -> None:
    plain = [Task(id=str(index), prompt="?") for index in range(7)]
    batches = Batches(configure({}, max_epochs=None, max_steps=9), plain)
    order = [(one.task.id, one.epoch) for one in deal(Dealer(batches), 27)]
    dealer = Dealer(batches)
    first = deal(dealer, 3)
    more = [dealer.refill(one, round=1, version=0) for one in first[1:]]
    again = dealer.refill(more[0], round=2, version=0)
    assert [(one.task.id, one.epoch, one.round, one.number, one.instead_of) for one in (*more, again)] == [
        (*order[3], 1, 3, 1),
        (*order[4], 1, 4, 2),
        (*order[5], 2, 5, 3),
    ]
    # Six of the seven tasks are a pass: step 2 begins the next one, as step 3 does without filling.
    left = [first[1], first[2], more[0]]
    groups = [one.record("trained") for one in (first[0], again, more[1])] + [one.record("no_signal") for one in left]
    taken = batches.taken([BatchRecord(step=1, groups=tuple(groups))])
    assert taken == {None: 3}
    assert [(one.task.id, one.epoch) for one in deal(dealer, 3)] == order[6:9]
    assert batches.metrics(2, taken) == {"training/epoch": 1.0}
    assert batches.total == 9


def test_no_more_regular_groups_are_dealt_than_the_run_trains() -> None:
    batches = Batches(configure({}, max_epochs=1, max_steps=9), [Task(id=str(index), prompt="?") for index in range(7)])
    dealer = Dealer(batches)
    assert len(deal(dealer, 99)) == 6
    assert dealer.deal(version=5) is None
    extra = dealer.refill(deal(Dealer(batches), 1)[0], round=0, version=5)
    assert (extra.number, extra.epoch, extra.version) == (6, 1, 5)


members_of_three = st.dictionaries(
    st.sampled_from("abc"), st.tuples(st.sampled_from((0.5, 1.0, 2.0, 3.5)), st.integers(1, 9)), max_size=3
)
places_that_leave = st.lists(st.lists(st.sets(st.integers(0, 4)), max_size=3), min_size=1, max_size=6)


def play(members: dict[str, tuple[float, int]], size: int, steps: list[list[set[int]]]) -> tuple[Batches, list[Dealt]]:
    """Deal some steps in which groups at some places leave, round by round; all groups in order of dealing."""
    weights = {domain: weight for domain, (weight, _) in members.items()}
    given_tasks = tasks(**{domain: number for domain, (_, number) in members.items()})
    given_tasks = given_tasks or [Task(id=str(index), prompt="?") for index in range(11)]
    batches = Batches(configure(weights, size=size, max_steps=50, max_epochs=None), given_tasks)
    dealer = Dealer(batches)
    history: list[Dealt] = []
    for step, rounds in enumerate(steps):
        trained = deal(dealer, size)
        history += trained
        shares = counts(trained)
        for round, places in enumerate(rounds, start=1):
            for place in sorted(places):
                if place < size:
                    trained[place] = dealer.refill(trained[place], round=round, version=step)
                    history.append(trained[place])
        assert counts(trained) == shares
    return batches, history


@given(members_of_three, st.integers(1, 5), places_that_leave)
def test_no_task_is_left_out_and_none_is_dealt_twice_in_a_pass(
    members: dict[str, tuple[float, int]], size: int, steps: list[list[set[int]]]
) -> None:
    batches, dealt = play(members, size, steps)
    assert [one.number for one in dealt] == list(range(len(dealt)))
    for domain in batches.domains or (None,):
        own = [one for one in dealt if one.task.domain == domain]
        whole = batches.num_tasks(domain) if domain else 11 // size * size
        epochs = max((one.epoch for one in own), default=-1) + 1
        passes = [[one.task.id for one in own if one.epoch == epoch] for epoch in range(epochs)]
        assert [len(set(found)) for found in passes] == [len(found) for found in passes]
        assert all(len(found) == whole for found in passes[:-1])


@given(members_of_three, st.integers(1, 5), places_that_leave, st.data())
def test_a_dealer_goes_on_from_the_records_of_what_was_dealt(
    members: dict[str, tuple[float, int]], size: int, steps: list[list[set[int]]], data: st.DataObject
) -> None:
    batches, history = play(members, size, steps)
    cut = data.draw(st.integers(0, len(history)))
    records = [one.record("open") for one in history[:cut]]
    dealer = Dealer(batches)
    dealer.restore(data.draw(st.permutations(records)))
    for expected in history[cut:]:
        version = expected.version
        if expected.instead_of is None:
            assert dealer.deal(version=version) == expected
        else:
            left = history[expected.instead_of]
            assert dealer.refill(left, round=expected.round, version=version) == expected
    assert [dealer.dealt(record) for record in records] == history[:cut]


def test_what_was_taken_back_is_dealt_again_before_anything_else() -> None:
    batches = Batches(configure({"a": 1, "b": 1}, size=2, max_steps=9, val_every=0), tasks(a=9, b=9))
    whole = deal(Dealer(batches), 18)
    dealer = Dealer(batches)
    # Steps 2 and 4 were lost, step 3 is there.
    dealer.restore(one.record("trained") for one in (*whole[:2], *whole[4:6]))
    dealt = deal(dealer, 99)
    assert [one.task for one in dealt] == [one.task for one in (*whole[2:4], *whole[6:])]
    assert [one.number for one in dealt] == list(range(6, 20))


def test_a_task_that_is_not_there_any_more_is_named() -> None:
    batches = Batches(configure({}, max_epochs=None, max_steps=9), [Task(id=str(n), prompt="?") for n in range(7)])
    gone = BatchGroup(number=4, task="9", domain="", epoch=2)
    with pytest.raises(RunDirectoryError, match=r"group 4 of the run has task '9' of pass 2.*tasks have changed"):
        Dealer(batches).restore([gone])


def test_what_is_recorded_of_a_group() -> None:
    task = Task(id="a/1", prompt="?", domain="a")
    dealt = Dealt(number=7, task=task, epoch=2, round=1, instead_of=3, version=5)
    assert dealt.record("no_signal") == BatchGroup(
        number=7, task="a/1", domain="a", epoch=2, round=1, instead_of=3, version=5, fate="no_signal"
    )
