"""The stream of groups: synchronous with a bound of 0, and what changes where rollouts run ahead."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rollout.playing import Notebook, Play, Player, StrictEngine, make_batches, open_stream
from rollout.virtual_time import run
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import AlignmentError, StalenessError
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Outcome, Rewarded
from turnwright.rollout.attempts import Wanted
from turnwright.rollout.batches import Batches, Dealer
from turnwright.rollout.filling import MadeGroup, StepGroups
from turnwright.rollout.stream import GroupStream
from turnwright.rundir.records import OpenGroup

LOOP = (7, 8) * 4


def by_name(wanted: Wanted) -> Play:
    """Play as the task's name says: "good" groups have signal, whatever else does not."""
    name = wanted.task.id.rpartition("/")[2]
    if wanted.attempt % 2 == 0:
        return Play(outcome=Rewarded(value=0.0))
    outcome: Outcome = Failed(cause="tool_error")
    if not name.startswith("broken"):
        outcome = Rewarded(value=float(name.startswith(("good", "loop"))))
    return Play(outcome=outcome, tokens=LOOP if name.startswith("loop") else (3, 4))


def collect(
    batches: Batches,
    player: Player,
    notebook: Notebook,
    *,
    steps: int = 1,
    fill_rounds: int = 2,
    left: Sequence[OpenGroup] = (),
) -> list[StepGroups]:
    """Make the groups of some steps one after the other, with a bound of 0."""

    async def play() -> list[StepGroups]:
        made: list[StepGroups] = []
        stream = open_stream(player, batches, notebook, fill_rounds=fill_rounds, dealt=[one.group for one in left])
        async with stream:
            stream.restore(left)
            for step in range(1, steps + 1):
                made.append(await stream.next_groups(step))
                player.engine.policy_version = step
                if step < steps:
                    stream.published(step)
        assert not player.engine.open_episodes
        return made

    return run(play())


def ids(made: Sequence[MadeGroup]) -> list[str]:
    return [one.dealt.task.id for one in made]


def order_of(batches: Batches, number: int) -> list[str]:
    dealer = Dealer(batches)
    return [dealt.task.id for _ in range(number) if (dealt := dealer.deal(version=0)) is not None]


def named(fates: Sequence[str]) -> Batches:
    """Return batches whose tasks come in the order of these fates."""
    places = order_of(make_batches([f"x{n}" for n in range(len(fates))]), len(fates))
    names = {place: f"{fate}{number}" for number, (place, fate) in enumerate(zip(places, fates, strict=True))}
    return make_batches([names[f"x{n}"] for n in range(len(fates))])


FATES = ("good", "dull", "broken", "loop", "good", "dull", "good", "dull", "dull", "good", "good", "good")
ORDER = [f"{fate}{number}" for number, fate in enumerate(FATES)]


def test_groups_without_signal_make_room_for_the_next_in_the_order_until_rounds_are_used_up() -> None:
    batches, player, notebook = named(FATES), Player(play=by_name), Notebook()
    assert order_of(batches, 12) == ORDER
    first, second = collect(batches, player, notebook, steps=2)
    # Round 1 replaces the dull and the broken group, round 2 the one whose second attempt repeats itself.
    assert [notebook.groups[n].task for n in range(6)] == ORDER[:6]
    assert [notebook.groups[n].round for n in range(6)] == [0, 0, 0, 1, 1, 2]
    assert [notebook.groups[n].instead_of for n in range(6)] == [None, None, None, 1, 2, 3]
    assert ids(first.trained) == [ORDER[0], ORDER[5], ORDER[4]]
    assert ids(first.replaced) == [ORDER[1], ORDER[2], ORDER[3]]
    assert first.num_rounds == 2
    assert [key.task_id for key in first.repetitions] == [ORDER[3]]
    assert len(first.left_out) == 6
    # What is dull after the last round is trained as it would be without filling.
    record = first.record(1)
    assert [(one.number, one.fate) for one in record.groups] == [
        (0, "trained"),
        (5, "trained"),
        (4, "trained"),
        (1, "no_signal"),
        (2, "no_signal"),
        (3, "no_signal"),
    ]
    # Each round begins when the one before it has ended, and so does the next step.
    assert [key.task_id for key in player.played] == [task for task in ORDER[:11] for _ in range(2)]
    assert ids(second.trained) == [ORDER[6], ORDER[9], ORDER[10]]
    assert [one.version for one in second.record(2).groups] == [1] * 5
    assert len(second.rows) == 6


def test_the_engine_sees_one_round_at_a_time() -> None:
    # Three groups of two, then two groups, then one: what is open falls to nothing in between.
    player = Player(play=by_name)
    collect(named(FATES), player, Notebook())
    assert player.engine.counts == [*range(1, 7), *range(5, -1, -1), 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 1, 0]


def test_without_rounds_and_without_need_nothing_more_is_made() -> None:
    dull, good = (make_batches([f"{fate}{n}" for n in range(9)]) for fate in ("dull", "good"))
    notebook = Notebook()
    assert collect(dull, Player(play=by_name), notebook, fill_rounds=0)[0].left == ()
    assert len(notebook.groups) == 3
    assert collect(good, Player(play=by_name), Notebook())[0].num_rounds == 0


def test_a_domain_keeps_its_places() -> None:
    names = [*(f"dull{n}" for n in range(6)), *(f"good{n}" for n in range(6))]
    batches = make_batches(names, ["a"] * 6 + ["b"] * 6)
    (collected,) = collect(batches, Player(play=by_name), Notebook())
    dealer = Dealer(batches)
    dealt = [one.task.domain for _ in range(3) if (one := dealer.deal(version=0)) is not None]
    assert [made.dealt.task.domain for made in collected.trained] == dealt
    assert batches.taken([collected.record(1)]) == {"a": 2 * dealt.count("a")}
    assert {made.dealt.task.domain for made in collected.replaced} == {"a"}


def test_whatever_a_crash_left_is_taken_up_and_the_rest_is_made() -> None:
    batches, whole, player = named(FATES), Notebook(), Player(play=by_name)
    (expected,) = collect(batches, player, whole)
    failed = [attempt.episode.key for _, attempt in whole.attempts if isinstance(attempt.episode.outcome, Failed)]
    for count in range(len(whole.attempts) + 1):
        rest = whole.cut(count)
        # A group is there before its attempts, and a round of them before any of those.
        ends = [0, 6, 10, 12]
        rest.groups = {n: one for n, one in rest.groups.items() if ends[one.round] <= count}
        again = Player(play=by_name)
        (collected,) = collect(batches, again, rest, left=rest.open_groups())
        assert collected == expected
        kept = {attempt.episode.key for _, attempt in whole.attempts[:count]}
        missing = [key for key in player.played if key not in kept]
        assert [key for key in again.played if key not in failed] == [key for key in missing if key not in failed]
        # What failed is made again until the round that was chosen by it has begun.
        assert (failed[0] in again.played) == (count < 6 or not any(one.round for one in rest.groups.values()))


def test_a_group_without_signal_that_a_crash_left_counts_when_its_step_is_closed() -> None:
    batches, notebook = named(FATES), Notebook()
    first, second = collect(batches, Player(play=by_name), notebook, steps=2)
    closed = first.record(1).groups
    left = notebook.open_groups(without=closed)
    player = Player(play=by_name, engine=StrictEngine())

    async def play() -> StepGroups:
        dealt = [*closed, *(one.group for one in left)]
        stream = open_stream(player, batches, Notebook(), fill_rounds=2, dealt=dealt)
        async with stream:
            stream.restore(left)
            return await stream.next_groups(2)

    assert run(play()) == second
    assert player.played == []


# ------------------------------------------------------------------ rollouts ahead of training


def timed(seconds: dict[str, float]) -> Player:
    """Return a player whose groups take so long; all of them have signal."""

    def play(wanted: Wanted) -> Play:
        pause = seconds.get(wanted.task.id, 1.0) / 2
        return Play(outcome=Rewarded(value=float(wanted.attempt % 2)), pause=pause)

    return Player(play=play)


def test_groups_start_ahead_and_tokens_bear_the_version_that_sampled_them() -> None:
    batches, player, notebook = make_batches([f"t{n}" for n in range(8)], size=1, steps=4), timed({}), Notebook()
    order = order_of(batches, 4)
    player = timed({order[1]: 10.0})

    async def play() -> list[tuple[float, list[str], set[int]]]:
        seen: list[tuple[float, list[str], set[int]]] = []
        clock = asyncio.get_running_loop().time
        async with open_stream(player, batches, notebook, most_off_policy=1) as stream:
            for step in range(1, 5):
                groups = await stream.next_groups(step)
                versions = {version for row in groups.rows for version in row.policy_versions if version >= 0}
                seen.append((clock(), ids(groups.trained), versions))
                await asyncio.sleep(2.0)
                player.engine.policy_version = step
                stream.published(step)
            assert stream.ledger.num_in_flight == stream.ledger.num_ready == 0
        return seen

    # Two groups start at 0 s. The first is trained from 1 to 3 s, when the third starts under version 1. At 4 s that
    # one is ready, but the second, of version 0, is due at step 2, the last it may be trained in.
    assert run(play()) == [
        (1.0, [order[0]], {0}),
        (10.0, [order[1]], {1}),
        (12.0, [order[2]], {1}),
        (14.0, [order[3]], {2}),
    ]
    assert [group.version for group in notebook.groups.values()] == [0, 0, 1, 2]
    assert [group.instead_of for group in notebook.groups.values()] == [None] * 4


def test_a_straggler_is_waited_for_then_given_up_and_made_up_for() -> None:
    names, notebook = [f"t{n}" for n in range(8)], Notebook()
    batches = make_batches(names, size=1, steps=3)
    order = order_of(make_batches(names, size=1, steps=8), 4)
    player = timed({order[1]: 100.0})
    plain = player.play

    def play(wanted: Wanted) -> Play:
        # One of the straggler's attempts ends early: its tokens are what giving it up costs.
        quick = wanted.task.id == order[1] and wanted.attempt == 0
        return replace(plain(wanted), pause=0.5) if quick else plain(wanted)

    player.play = play

    async def learn() -> tuple[list[StepGroups], dict[str, float]]:
        made: list[StepGroups] = []
        async with open_stream(player, batches, notebook, most_off_policy=1, wait=5.0) as stream:
            for step in range(1, 4):
                made.append(await stream.next_groups(step))
                player.engine.policy_version = step
                stream.published(step)
            assert asyncio.get_running_loop().time() == 8.0
            metrics = stream.metrics()
            assert set(stream.metrics().values()) == {0.0, 99.0, metrics["rollout/wasted_frac"]}
        return made, metrics

    made, metrics = run(learn())
    # At 1 s step 1 is made, and group 2 starts. At 2 s it is ready, but group 1 is due: at 7 s it goes for group 3.
    # Step 2 takes group 2 at once, and group 3, of version 1, ends at 8 s.
    assert [ids(one.trained) for one in made] == [[order[0]], [order[2]], [order[3]]]
    assert [ids(one.evicted) for one in made] == [[], [order[1]], []]
    assert [len(one.attempts) for one in made] == [2, 3, 2]
    record = made[1].record(2).groups[1]
    assert (record.number, record.fate, record.round) == (1, "stale", 0)
    assert (notebook.groups[3].instead_of, notebook.groups[3].version, notebook.groups[3].round) == (1, 1, 0)
    assert metrics == {
        "rollout/ended/trained": 6.0,
        "rollout/ended/failed": 0.0,
        "rollout/ended/filtered": 0.0,
        "rollout/ended/no_signal": 0.0,
        "rollout/ended/stale": 2.0,
        "rollout/ended/interrupted": 0.0,
        "rollout/wasted_tokens": 2.0,
        "rollout/wasted_frac": 2 / 14,
        "rollout/in_flight": 0.0,
        "rollout/ready_groups": 0.0,
        "rollout/concurrency": 99.0,
        "timing_s/straggler_wait": 5.0,
    }


@pytest.mark.parametrize("longest", [6.5, 7.0, 7.5])
def test_a_straggler_that_ends_the_moment_it_is_given_up_is_in_the_books_once(longest: float) -> None:
    batches, notebook = make_batches([f"t{n}" for n in range(8)], size=1, steps=4), Notebook()
    straggler = order_of(batches, 2)[1]
    player = timed({straggler: longest})

    async def learn() -> list[str]:
        trained: list[str] = []
        async with open_stream(player, batches, notebook, most_off_policy=1, wait=5.0) as stream:
            for step in range(1, 5):
                trained += ids((await stream.next_groups(step)).trained)
                player.engine.policy_version = step
                stream.published(step)
            ledger = stream.ledger
            assert ledger.num_dispatched == sum(ledger.ended.values())
            # Without it, another group is dealt.
            assert ledger.ended["trained"] == 8
            assert ledger.ended["stale"] == (0 if straggler in trained else 2)
            assert len(notebook.attempts) == (8 if straggler in trained else ledger.finished_tokens // 2)
        return trained

    # It is due at step 2, for which it is waited from 2 to 7 s.
    assert (straggler in run(learn())) or longest >= 7.0
    assert not player.engine.open_episodes


def test_groups_that_were_open_ahead_go_on_where_they_were() -> None:
    names = [f"t{n}" for n in range(8)]
    batches, notebook = make_batches(names, size=1, steps=4), Notebook()
    order = order_of(batches, 4)
    slow = {order[1]: 40.0, order[2]: 8.0}

    async def first() -> StepGroups:
        async with open_stream(timed(slow), batches, notebook, most_off_policy=2, wait=3.0) as stream:
            made = await stream.next_groups(1)
            stream.published(1)
            return made

    closed = run(first()).record(1).groups
    left = notebook.open_groups(without=closed)
    assert [one.group.number for one in left] == [1, 2, 3]
    assert [len(one.attempts) for one in left] == [0, 0, 0]
    player = timed({})
    player.engine.policy_version = 1

    async def second() -> list[StepGroups]:
        made: list[StepGroups] = []
        dealt = [*closed, *(one.group for one in left)]
        async with open_stream(player, batches, notebook, most_off_policy=2, dealt=dealt) as stream:
            stream.restore(left)
            assert player.played == []
            for step in (2, 3, 4):
                made.append(await stream.next_groups(step))
                player.engine.policy_version = step
                stream.published(step)
        return made

    made = run(second())
    assert [ids(one.trained) for one in made] == [[order[1]], [order[2]], [order[3]]]
    assert len(notebook.groups) == 4


def test_a_pause_holds_everything_back_and_failed_attempts_can_be_made_again() -> None:
    batches, notebook = make_batches([f"t{n}" for n in range(8)], size=2, steps=2), Notebook()
    broken = [True]

    def play(wanted: Wanted) -> Play:
        if broken[0] and wanted.attempt == 1:
            return Play(outcome=Failed(cause="tool_error"), pause=1.0)
        return Play(outcome=Rewarded(value=float(wanted.attempt)), pause=1.0)

    player = Player(play=play)

    async def learn() -> StepGroups:
        async with open_stream(player, batches, notebook, limit=3) as stream:
            waiting = asyncio.create_task(stream.next_groups(1))
            await asyncio.sleep(1.5)
            stream.hold()
            await asyncio.sleep(100.0)
            # The fourth attempt was not begun: three ran at once.
            assert len(player.played) == 3
            broken[0] = False
            stream.make_again()
            stream.go_on()
            groups = await waiting
            ledger = stream.ledger
            assert (ledger.num_dispatched, ledger.ended["failed"], ledger.ended["trained"]) == (5, 1, 4)
            return groups

    groups = run(learn())
    assert [type(attempt.episode.outcome) for attempt in groups.attempts] == [Rewarded] * 4
    assert len(player.played) == len(notebook.attempts) == 5


def test_a_group_that_was_ready_goes_back_to_work_for_its_failed_attempts() -> None:
    batches, broken = make_batches(["a"], size=1, steps=1), [True]

    def play(wanted: Wanted) -> Play:
        failed = broken[0] and wanted.attempt == 1
        return Play(outcome=Failed(cause="tool_error") if failed else Rewarded(value=float(wanted.attempt)))

    player = Player(play=play)

    async def learn() -> StepGroups:
        async with open_stream(player, batches, Notebook()) as stream:
            stream.published(0)
            await asyncio.sleep(1)
            assert stream.metrics()["rollout/ready_groups"] == 1.0
            broken[0] = False
            stream.make_again()
            assert stream.metrics()["rollout/ready_groups"] == 0.0
            return await stream.next_groups(1)

    groups = run(learn())
    assert [attempt.episode.outcome for attempt in groups.attempts] == [Rewarded(value=0.0), Rewarded(value=1.0)]
    assert [key.attempt for key in player.played] == [0, 1, 1]


class Full(Notebook):
    def attempt(self, number: int, attempt: Attempt) -> None:
        raise OSError("no space left on device")


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (None, OSError, "no space"),
        (AlignmentError("prompt ids"), AlignmentError, "prompt ids"),
        (asyncio.CancelledError(), RuntimeError, r"attempt t\d#\d was cancelled from within"),
    ],
)
def test_what_breaks_in_a_task_is_raised_where_groups_are_waited_for(
    raised: BaseException | None, expected: type[BaseException], message: str
) -> None:
    batches, player = make_batches([f"t{n}" for n in range(8)]), timed({})

    def play(wanted: Wanted) -> Play:
        if raised is not None and wanted.attempt == 1:
            raise raised
        return Play(outcome=Rewarded(value=1.0), pause=1.0)

    player.play = play

    async def learn() -> bool:
        with pytest.raises(expected, match=message):
            async with open_stream(player, batches, Notebook() if raised else Full(), most_off_policy=2, limit=4) as it:
                await it.next_groups(1)
        assert it.ledger.num_in_flight == 0
        return asyncio.all_tasks() == {asyncio.current_task()}

    assert run(learn())
    assert not player.engine.open_episodes


def test_cancellation_leaves_no_task_and_no_open_episode_behind() -> None:
    batches, player, notebook = make_batches([f"t{n}" for n in range(8)]), timed({}), Notebook()

    async def play() -> GroupStream:
        opened: list[GroupStream] = []

        async def learn() -> None:
            async with open_stream(player, batches, notebook, most_off_policy=1, limit=5) as stream:
                opened.append(stream)
                for step in range(1, 9):
                    await stream.next_groups(step)
                    stream.published(step)

        task = asyncio.create_task(learn())
        await asyncio.sleep(2.7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return opened[0]

    stream = run(play())
    ledger = stream.ledger
    assert ledger.ended["interrupted"] == 5
    assert ledger.num_dispatched == sum(ledger.ended.values()) + ledger.num_ready
    assert not player.engine.open_episodes
    # What ended is there for the next process, one line each.
    assert len(notebook.attempts) == ledger.num_dispatched - 5


def test_more_steps_than_there_are_groups_is_refused() -> None:
    batches, player = make_batches([f"t{n}" for n in range(8)], size=2, steps=2), timed({})

    async def play() -> None:
        async with open_stream(player, batches, Notebook(), most_off_policy=1) as stream:
            for step in range(1, 4):
                await stream.next_groups(step)
                stream.published(step)

    with pytest.raises(StalenessError, match="step 3 can never start: 0 of 2 groups are ready"):
        run(play())
    assert len({key.task_id for key in player.played}) == 4


def test_keys_of_attempts_are_unique_over_passes() -> None:
    batches, player = make_batches(["a", "b"], size=2, steps=3), timed({})
    collect(batches, player, Notebook(), steps=3)
    assert sorted(player.played, key=str) == [
        EpisodeKey(task_id=task, attempt=attempt) for task in "ab" for attempt in range(6)
    ]
