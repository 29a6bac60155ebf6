"""Advantages per turn, from one reward per turn.

Legend: r_{i,t} = reward of turn t of attempt i; _U = the turns of one attempt. An attempt's advantages are those of
its turns, in order; every sampled token has that of the turn that sampled it.

    G_{i,t} = sum_{s >= t} gamma^(s - t) r_{i,s}        discounted once per turn
"""

from collections.abc import Sequence

import torch
from torch import Tensor

STD_EPSILON = 1e-6


def returns_to_go(turn_rewards_U: Tensor, *, gamma: float) -> Tensor:
    """Return G_t for each turn of one attempt."""
    returns_U = torch.empty_like(turn_rewards_U)
    following = torch.zeros((), dtype=turn_rewards_U.dtype, device=turn_rewards_U.device)
    for turn in range(turn_rewards_U.numel() - 1, -1, -1):
        following = turn_rewards_U[turn] + gamma * following
        returns_U[turn] = following
    return returns_U


def monte_carlo(turn_rewards_U: Tensor, *, gamma: float) -> Tensor:
    """Return the discounted return to go of each turn, without a baseline: REINFORCE (Sutton & Barto, ch. 13.3).

    As is usual, the book's factor gamma^t in front of G_t is left out: with gamma < 1 late turns count as much as early
    ones, and the gradient is no longer that of the discounted return.
    """
    return returns_to_go(turn_rewards_U, gamma=gamma)


def group_based_per_turn(turn_rewards: Sequence[Tensor], *, gamma: float, normalise: bool) -> tuple[Tensor, ...]:
    """Return the advantage of each turn against the same turn of the group's other attempts (turn-level GRPO).

        A_{i,t} = G_{i,t} - mean_j G_{j,t}     over the attempts j that reached turn t

    divided by the sample standard deviation of the same numbers + 1e-6 when ``normalise``. An attempt alone at turn t
    has nobody to be compared with there; it keeps its advantage over whole attempts, A_{i,0}.

    Args:
        turn_rewards: For each survivor its rewards per turn; at least two survivors, each with at least one turn.
        gamma: Discount per turn; 1 = none.
        normalise: Divide by the standard deviation.

    Raises:
        ValueError: Fewer than two survivors, or one without a turn.
    """
    if len(turn_rewards) < 2 or not all(rewards_U.numel() for rewards_U in turn_rewards):
        raise ValueError(
            f"group_based_per_turn needs at least 2 surviving attempts with a turn each: got "
            f"{[rewards_U.numel() for rewards_U in turn_rewards]} turns"
        )
    returns = [returns_to_go(rewards_U, gamma=gamma) for rewards_U in turn_rewards]
    advantages = [torch.empty_like(returns_U) for returns_U in returns]
    for turn in range(max(returns_U.numel() for returns_U in returns)):
        there = [attempt for attempt, returns_U in enumerate(returns) if returns_U.numel() > turn]
        if len(there) == 1:
            advantages[there[0]][turn] = advantages[there[0]][0]
            continue
        reached_G = torch.stack([returns[attempt][turn] for attempt in there])
        centred_G = reached_G - reached_G.mean()
        if normalise:
            centred_G = centred_G / (reached_G.std(correction=1) + STD_EPSILON)
        for attempt, advantage in zip(there, centred_G, strict=True):
            advantages[attempt][turn] = advantage
    return tuple(advantages)
