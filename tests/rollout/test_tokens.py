from array import array
from dataclasses import replace
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import AlignmentError, TrainingError
from turnwright.core.trajectory import SampledTurn, Trajectory, TurnKind, hash_ids
from turnwright.rollout.tokens import count_tokens, cut_rows

KEY = EpisodeKey(task_id="order-4", attempt=2)
tokens = st.lists(st.integers(0, 5), max_size=4).map(tuple)


def turn(
    index: int,
    parent: SampledTurn | None,
    prompt: tuple[int, ...],
    sampled: tuple[int, ...],
    *,
    abandoned: bool = False,
) -> SampledTurn:
    """Extend ``parent`` by ``prompt``; every sampled token gets a log-probability and version of its own."""
    kind: TurnKind = "clean" if parent else "fork" if index else "root"
    held = parent.prompt_token_ids + parent.sampled_token_ids if parent else ()
    return SampledTurn(
        index=index,
        parent=parent.index if parent else None,
        kind=kind,
        cause="history_edited" if kind == "fork" else "",
        prompt_token_ids=held + prompt,
        sampled_token_ids=sampled,
        logprobs=tuple(-(index + 1) - position / 100 for position in range(len(sampled))),
        policy_versions=tuple(10 * index + position for position in range(len(sampled))),
        temperature=0.5 + index,
        top_p=1.0,
        prefix_hash=hash_ids(held + prompt),
        abandoned=abandoned,
    )


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    turns: list[SampledTurn] = []
    for index in range(draw(st.integers(0, 8))):
        parent = draw(st.sampled_from([None, *turns]))
        turns.append(
            turn(
                index, parent, draw(tokens), draw(tokens), abandoned=draw(st.sampled_from([False, False, False, True]))
            )
        )
    return Trajectory(key=KEY, turns=tuple(turns))


def due(one: SampledTurn) -> bool:
    return bool(one.sampled_token_ids) and not one.abandoned


@given(trajectories())
def test_every_sampled_token_is_trained_exactly_once_with_what_it_was_sampled_with(trajectory: Trajectory):
    found = []
    for row in cut_rows(trajectory):
        for t in range(len(row.token_ids)):
            if row.trained[t]:
                one = trajectory.turns[row.turn_index[t]]
                position = t - len(one.prompt_token_ids)
                assert row.token_ids[:t] == one.prompt_token_ids + one.sampled_token_ids[:position]
                found.append(
                    (row.turn_index[t], row.token_ids[t], row.logprobs[t], row.policy_versions[t], row.temperature[t])
                )
            else:
                assert (row.logprobs[t], row.turn_index[t], row.policy_versions[t]) == (0.0, -1, -1)
                assert row.temperature[t] == 1.0
    expected = [
        (one.index, token, logprob, version, one.temperature)
        for one in trajectory.turns
        if due(one)
        for token, logprob, version in zip(one.sampled_token_ids, one.logprobs, one.policy_versions, strict=True)
    ]
    assert sorted(found) == sorted(expected)


@given(trajectories())
def test_there_are_as_many_rows_as_turns_that_nothing_trained_extends(trajectory: Trajectory):
    covered: set[int] = set()
    for one in trajectory.turns:
        ancestor = one.parent
        while due(one) and ancestor is not None:
            covered.add(ancestor)
            ancestor = trajectory.turns[ancestor].parent
    ends = [one for one in trajectory.turns if due(one) and one.index not in covered]
    assert len(cut_rows(trajectory)) == len(ends)


@given(trajectories())
def test_counts_agree_with_the_rows(trajectory: Trajectory):
    counts = count_tokens([trajectory], cut_rows(trajectory))
    assert counts.delivered_fraction == 1.0
    assert counts.trained + counts.abandoned == counts.sampled == trajectory.num_sampled_tokens
    assert counts.clean + counts.realign + counts.fork == len([t for t in trajectory.turns if t.kind != "root"])
    assert sum(counts.fork_causes.values()) == counts.fork


@given(trajectories().filter(lambda trajectory: any(one.prompt_token_ids for one in trajectory.turns)), st.data())
def test_a_changed_prompt_is_noticed(trajectory: Trajectory, data: st.DataObject):
    candidates = [one.index for one in trajectory.turns if one.prompt_token_ids]
    index = data.draw(st.sampled_from(candidates))
    ids = list(trajectory.turns[index].prompt_token_ids)
    ids[data.draw(st.integers(0, len(ids) - 1))] += 1
    turns = list(trajectory.turns)
    turns[index] = replace(turns[index], prompt_token_ids=tuple(ids))
    with pytest.raises(AlignmentError, match=f"episode 'order-4#2', turn {index}"):
        cut_rows(replace(trajectory, turns=tuple(turns)))


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_the_hash_covers_each_id_as_four_bytes(ids: list[int]):
    expected = blake2b(b"".join(token.to_bytes(4, "little") for token in ids), digest_size=8).hexdigest()
    assert hash_ids(tuple(ids)) == hash_ids(array("I", ids)) == hash_ids(array("Q", ids)) == expected


def test_a_worked_example():
    first = turn(0, None, (5, 9), (7, 2))
    second = turn(1, first, (4,), (8,))
    (row,) = cut_rows(Trajectory(key=KEY, turns=(first, second)))
    assert row.token_ids == (5, 9, 7, 2, 4, 8)
    assert row.trained == (False, False, True, True, False, True)
    assert row.logprobs == (0.0, 0.0, -1.0, -1.01, 0.0, -2.0)
    assert row.turn_index == (-1, -1, 0, 0, -1, 1)
    assert row.policy_versions == (-1, -1, 0, 1, -1, 10)
    assert row.temperature == (1.0, 1.0, 0.5, 0.5, 1.0, 1.5)


def test_a_fork_is_a_row_of_its_own_and_its_context_is_not_trained():
    first = turn(0, None, (5, 9), (7, 2))
    fork = turn(1, None, (5, 9, 7, 2, 3), (8,))
    merged, forked = cut_rows(Trajectory(key=KEY, turns=(first, fork)))
    assert merged.trained == (False, False, True, True)
    assert forked.trained == (False,) * 5 + (True,)


def test_an_abandoned_reply_is_context_when_something_follows_it():
    first = turn(0, None, (5,), (7,), abandoned=True)
    second = turn(1, first, (4,), (8,))
    (row,) = cut_rows(Trajectory(key=KEY, turns=(first, second)))
    assert row.trained == (False, False, False, True)


def test_a_turn_that_does_not_extend_what_it_says_is_refused():
    first, other = turn(0, None, (5, 9), (7, 2)), turn(1, None, (5, 9), (7, 3))
    wrong = replace(turn(2, first, (4,), (8,)), parent=1)
    with pytest.raises(AlignmentError, match=r"all 4 ids of turn 1 which it extends.*turn 2"):
        cut_rows(Trajectory(key=KEY, turns=(first, other, wrong)))


def test_a_parent_must_come_before():
    first = replace(turn(0, None, (5,), (7,)), parent=4)
    with pytest.raises(AlignmentError, match="got parent 4"):
        cut_rows(Trajectory(key=KEY, turns=(first,)))


def test_two_turns_of_one_number_are_refused():
    first = turn(0, None, (5,), (7,))
    with pytest.raises(AlignmentError, match=r"unique: got \[0, 0\]"):
        cut_rows(Trajectory(key=KEY, turns=(first, first)))


def test_greedy_turns_are_never_trained():
    greedy = replace(turn(0, None, (5,), (7,)), temperature=0.0)
    with pytest.raises(TrainingError, match=r"got temperature 0.*episode 'order-4#2', turn 0"):
        cut_rows(Trajectory(key=KEY, turns=(greedy,)))


def test_a_lost_row_shows_in_the_delivered_fraction():
    trajectory = Trajectory(key=KEY, turns=(turn(0, None, (5,), (7, 7, 7)), turn(1, None, (6,), (8,))))
    rows = cut_rows(trajectory)
    counts = count_tokens([trajectory], rows[:1])
    assert (counts.delivered_fraction, counts.datums_per_trajectory) == (0.75, 1.0)
