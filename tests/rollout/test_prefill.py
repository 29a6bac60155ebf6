"""Prompt tokens that no earlier call held, by hand."""

from turnwright.core.episode import EpisodeKey
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids
from turnwright.rollout.prefill import prefilled


def turn(index: int, parent: int | None, prompt: tuple[int, ...], sampled: tuple[int, ...]) -> SampledTurn:
    return SampledTurn(
        index=index,
        parent=parent,
        kind="clean" if parent is not None else "fork" if index else "root",
        prompt_token_ids=prompt,
        sampled_token_ids=sampled,
        logprobs=(-0.5,) * len(sampled),
        policy_versions=(0,) * len(sampled),
        temperature=1.0,
        top_p=1.0,
        prefix_hash=hash_ids(prompt),
    )


def test_only_what_no_earlier_call_held_is_computed() -> None:
    first = turn(0, None, (1, 2, 3), (4, 5))
    goes_on = turn(2, 0, (1, 2, 3, 4, 5, 6), (7,))  # 6 is new
    edited = turn(3, None, (1, 2, 9, 4, 5, 6), (8,))  # from 9 on
    spells_it = turn(4, None, (1, 2, 3, 4), (0,))  # all of it is held, the reply's first id included
    trajectory = Trajectory(key=EpisodeKey(task_id="t", attempt=0), turns=(first, goes_on, edited, spells_it))
    assert [(one.index, number) for one, number in prefilled(trajectory)] == [(0, 3), (2, 1), (3, 4), (4, 0)]
