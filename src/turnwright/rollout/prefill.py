"""Prefill: which prompt tokens of a trajectory had to be computed, because no earlier call of it held them.

That is what an engine does which keeps the keys and values of each trajectory. What it does besides, because weights
changed or memory ran out, it counts itself.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from turnwright.core.trajectory import SampledTurn, Trajectory


def prefilled(trajectory: Trajectory) -> Iterator[tuple[SampledTurn, int]]:
    """Yield each turn with the tokens of its prompt behind the longest beginning that an earlier call held.

    Example: a prompt of 10, a reply of 3 and a prompt that goes on from both with 2 more: 10, then 2. A third prompt of
    12, of which the first 7 are those of the others: 5.
    """
    held: dict[int, tuple[int, ...]] = {}
    for turn in trajectory.turns:
        prompt = turn.prompt_token_ids
        if turn.parent is not None:
            # It begins with all of the turn it extends, and no other holds as much.
            shared = len(held[turn.parent])
        else:
            shared = max((_shared(prompt, ids) for ids in held.values()), default=0)
        held[turn.index] = prompt + turn.sampled_token_ids
        yield turn, len(prompt) - shared


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    longest = range(min(len(one), len(other)))
    return bisect_left(longest, True, key=lambda last: one[: last + 1] != other[: last + 1])
