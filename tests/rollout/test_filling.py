"""Rounds of filling: which groups leave, what takes their place, and what a crash in the middle changes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from turnwright.config import resolve_values
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import TrainingError
from turnwright.core.group import Attempt, TrainableGroup
from turnwright.core.outcome import Failed, Outcome, Rewarded
from turnwright.core.task import Task
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids
from turnwright.learner.batch import BatchSettings, build_batch, is_live
from turnwright.learner.credit import AdvantageSettings
from turnwright.rollout.batches import Batches, Dealt
from turnwright.rollout.collector import Wanted
from turnwright.rollout.filling import (
    MadeGroup,
    StepGroups,
    collect_groups,
    filling_metrics,
    make_groups,
    take_finished,
)
from turnwright.rollout.guards import require_few_failures, require_few_repetitions
from turnwright.rollout.repetition import RepetitionSettings

SIZE = 3
LOOP = (7, 8) * 4


def attempt(task: Task, number: int, outcome: Outcome, sampled: tuple[int, ...] = (3, 4)) -> Attempt:
    key = EpisodeKey(task_id=task.id, attempt=number)
    turn = SampledTurn(
        index=0,
        parent=None,
        kind="root",
        prompt_token_ids=(1, 2),
        sampled_token_ids=sampled,
        logprobs=(-0.5,) * len(sampled),
        policy_versions=(0,) * len(sampled),
        temperature=1.0,
        top_p=1.0,
        prefix_hash=hash_ids((1, 2)),
    )
    return Attempt(
        episode=Episode(key=key, task=task, opening=(), outcome=outcome), trajectory=Trajectory(key=key, turns=(turn,))
    )


class World:
    """Tasks whose groups are as their names say: "good" ones have signal, whatever else does not."""

    def __init__(self, names: Sequence[str], domains: Sequence[str] = ()) -> None:
        self.tasks = [
            Task(id=f"{domain}/{name}" if domain else name, prompt="?", domain=domain or None)
            for name, domain in zip(names, domains or [""] * len(names), strict=True)
        ]
        members = {domain: {"name": "procedures"} for domain in sorted(set(domains))}
        values = {
            "environment": {"mixture": members} if members else {"name": "procedures"},
            "algorithm": {"global_batch_size": SIZE},
            "schedule": {"max_steps": 21},
        }
        self.batches = Batches(resolve_values(values, source="test").config, self.tasks)
        self.made: list[list[str]] = []
        self.played: list[EpisodeKey] = []

    async def make(self, dealt: Sequence[Dealt], finished: dict[EpisodeKey, Attempt]) -> list[MadeGroup]:
        self.made.append([one.task.id for one in dealt])
        return await make_groups(dealt, 2, self.play, finished, RepetitionSettings(max_repeated_tokens=6))

    async def play(self, wanted: Sequence[Wanted]) -> list[Attempt]:
        self.played += [entry.key for entry in wanted]
        return [self.attempt(entry) for entry in wanted]

    def attempt(self, entry: Wanted) -> Attempt:
        name = entry.task.id.rpartition("/")[2]
        outcome: Outcome = Rewarded(value=0.0)
        if entry.attempt % 2:
            outcome = Rewarded(value=float(name.startswith(("good", "loop"))))
            if name.startswith("broken"):
                outcome = Failed(cause="tool_error")
        return attempt(
            entry.task, entry.attempt, outcome, LOOP if name.startswith("loop") and entry.attempt % 2 else (3, 4)
        )

    def collect(
        self,
        step: int = 1,
        *,
        fill_rounds: int = 2,
        taken: Mapping[str | None, int] | None = None,
        finished: Sequence[Attempt] = (),
    ) -> StepGroups:
        left = {one.episode.key: one for one in finished}
        return asyncio.run(
            collect_groups(
                step,
                self.batches,
                lambda dealt: self.make(dealt, left),
                taken=taken or {},
                fill_rounds=fill_rounds,
                is_live=lambda group: is_live(group, BatchSettings()),
            )
        )

    def groups(self) -> list[TrainableGroup]:
        dealt = [one for step in (1, 2) for one in self.batches.deal(step)]
        return [made.trainable for made in asyncio.run(self.make(dealt, {}))]

    def order(self, number: int) -> list[str]:
        return [one.task.id for step in range(1, number // SIZE + 2) for one in self.batches.deal(step)][:number]


def ids(made: Sequence[MadeGroup]) -> list[str]:
    return [one.dealt.task.id for one in made]


def test_groups_without_signal_make_room_for_the_next_in_the_order_until_rounds_are_used_up() -> None:
    # The order of the tasks is drawn by the seed, so fates follow places in it; the step has three.
    fates = ("good", "dull", "broken", "loop", "good", "dull", "good", "dull", "dull", "good", "good", "good")
    places = World([f"x{n}" for n in range(12)]).order(12)
    names = {place: f"{fate}{place}" for place, fate in zip(places, fates, strict=True)}
    world = World([names[f"x{n}"] for n in range(12)])
    order = world.order(12)
    collected = world.collect()
    # Round 1 replaces the dull and the broken group, round 2 the one whose second attempt repeats itself.
    assert world.made == [order[:3], order[3:5], [order[5]]]
    assert ids(collected.trained) == [order[0], order[5], order[4]]
    assert ids(collected.replaced) == [order[1], order[2], order[3]]
    assert [made.dealt.round for made in collected.trained] == [0, 2, 1]
    assert collected.num_rounds == 2
    assert [key.task_id for key in collected.repetitions] == [order[3]]
    assert len(collected.left_out) == 6
    # 2 + 2 tokens of the dull group, the same of the broken one, 2 + 8 of the other.
    assert filling_metrics([made.group for made in collected.replaced]) == {
        "rollout/fill/groups": 3.0,
        "rollout/fill/tokens": 18.0,
    }
    # What is dull after the last round is trained as it would be without filling.
    assert build_batch(collected.trainable, BatchSettings()).num_live_groups == 2
    taken = world.batches.taken([collected.record(1)])
    assert taken == {None: 3}
    following = world.collect(step=2, taken=dict(taken))
    assert world.made[3] == order[6:9]
    assert ids(following.trained) == [order[6], order[9], order[10]]
    assert len(following.rows) == 6


def test_without_rounds_and_without_need_nothing_more_is_made() -> None:
    dull = World([f"dull{n}" for n in range(9)])
    assert (dull.collect(fill_rounds=0).replaced, len(dull.made)) == ((), 1)
    good = World([f"good{n}" for n in range(9)])
    assert (good.collect().num_rounds, len(good.made)) == (0, 1)


def test_a_domain_keeps_its_places() -> None:
    names = [*(f"dull{n}" for n in range(6)), *(f"good{n}" for n in range(6))]
    world = World(names, ["a"] * 6 + ["b"] * 6)
    collected = world.collect()
    dealt = [one.task.domain for one in world.batches.deal(1)]
    assert [made.dealt.task.domain for made in collected.trained] == dealt
    num_dull = dealt.count("a")
    assert world.batches.taken([collected.record(1)]) == {"a": 2 * num_dull}
    assert {made.dealt.task.domain for made in collected.replaced} == {"a"}


def test_every_round_is_told_and_may_end_the_step() -> None:
    world, seen = World([f"dull{n}" for n in range(9)]), list[int]()

    def look(collected: StepGroups) -> None:
        seen.append(len(collected.groups))
        if len(seen) == 2:
            raise TrainingError("enough")

    with pytest.raises(TrainingError, match="enough"):
        asyncio.run(
            collect_groups(
                1,
                world.batches,
                lambda dealt: world.make(dealt, {}),
                taken={},
                fill_rounds=5,
                is_live=lambda group: False,
                on_round=look,
            )
        )
    assert (seen, len(world.made)) == ([3, 6], 2)


@pytest.mark.parametrize("method", ["group_based", "group_based_per_turn", "grpo_passk", "reinforce_pp", "monte_carlo"])
def test_a_group_is_live_where_the_learner_finds_it_so(method: str) -> None:
    world = World([f"{fate}{n}" for n, fate in enumerate(("good", "dull", "broken", "loop", "good", "dull"))])
    groups = world.groups()
    groups.append(TrainableGroup(task_id="nobody", attempts=()))
    for truncated in ("reward", "mask", "zero"):
        settings = BatchSettings(advantages=AdvantageSettings(method=method, k=2), truncated=truncated)
        for group in (*groups, *(with_all_cut(group) for group in groups)):
            assert is_live(group, settings) == bool(build_batch([group], settings).num_live_groups)


def with_all_cut(group: TrainableGroup) -> TrainableGroup:
    return replace(group, attempts=tuple(replace(one, truncated=True) for one in group.attempts))


def test_whatever_a_crash_left_is_taken_up_and_the_rest_is_made() -> None:
    fates = ("good", "dull", "broken", "loop", "good", "dull", "good", "dull", "dull")
    names = [f"{fate}{n}" for n, fate in enumerate(fates)]
    whole = World(names)
    expected = whole.collect()
    assert {key.attempt for key in whole.played} == {0, 1}
    by_key = {one.episode.key: one for one in expected.attempts}
    for count in range(len(whole.played) + 1):
        kept = [by_key[key] for key in whole.played[:count]]
        again = World(names)
        assert again.collect(finished=kept) == expected
        rest = [key for key in whole.played if by_key[key] not in kept]
        failed = [key for key in again.played if isinstance(by_key[key].episode.outcome, Failed)]
        assert [key for key in again.played if key not in failed] == [key for key in rest if key not in failed]


def test_what_an_interrupted_process_failed_at_is_made_again_unless_a_later_round_was_chosen_by_it() -> None:
    first, later = Task(id="first", prompt="?"), Task(id="later", prompt="?")
    good, broken = attempt(first, 0, Rewarded(value=1.0)), attempt(first, 1, Failed(cause="tool_error"))
    never = EpisodeKey(task_id="first", attempt=2)
    round_of_filling = attempt(later, 0, Failed(cause="tool_error"))
    wanted = [good.episode.key, broken.episode.key, never]

    left = {one.episode.key: one for one in (good, broken)}
    assert take_finished(left, wanted) == {good.episode.key: good}
    assert left == {}

    left = {one.episode.key: one for one in (good, round_of_filling, broken)}
    assert take_finished(left, wanted) == {good.episode.key: good, broken.episode.key: broken}
    assert left == {round_of_filling.episode.key: round_of_filling}
    assert take_finished(left, [round_of_filling.episode.key]) == {}


def test_failures_and_repetitions_above_their_shares_stop_the_run() -> None:
    task = Task(id="t", prompt="?")
    world = World([f"{fate}{n}" for n, fate in enumerate(("loop", "loop", "good"))])
    collected = world.collect(fill_rounds=0)
    told = {"num_attempts": 6, "decode": lambda token_ids: " ".join(map(str, token_ids))}
    require_few_repetitions(3, collected.repetitions.values(), limit=0.34, **told)
    require_few_repetitions(3, (), limit=0.0, **told)
    with pytest.raises(
        TrainingError, match=r"step 3: 33% .*max_filter_rate = 0.3: .* 8 tokens repeat an n-gram of 2: '7 8'"
    ):
        require_few_repetitions(3, collected.repetitions.values(), limit=0.3, **told)

    failed = [attempt(task, 0, Rewarded(value=0.0)), attempt(task, 1, Failed(cause="tool_error", detail="no shelf"))]
    require_few_failures(3, failed, limit=0.5)
    with pytest.raises(TrainingError, match=r"step 3: 50% of the attempts failed.*tool_error \(1\).*no shelf"):
        require_few_failures(3, failed, limit=0.2)
