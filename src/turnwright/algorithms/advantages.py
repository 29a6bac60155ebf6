"""Advantages: how much better an attempt was than its group.

Legend: _G = the n surviving attempts of one group. Failed attempts are absent, not zero.
"""

from torch import Tensor

STD_EPSILON = 1e-6


def group_based(rewards_G: Tensor, *, normalise: bool) -> Tensor:
    """Return the group-relative advantage of each attempt (GRPO, arXiv:2402.03300).

        A_i = R_i - mean(R),   divided by std(R) + 1e-6 when ``normalise``

    std is the sample standard deviation (n - 1). Without the division this is Dr. GRPO's estimate (arXiv:2503.20783).

    Args:
        rewards_G: Rewards of the survivors, n >= 2.
        normalise: Divide by the group's standard deviation.

    Raises:
        ValueError: Fewer than two survivors: a single attempt has no baseline.
    """
    if rewards_G.numel() < 2:
        raise ValueError(f"group_based needs at least 2 surviving attempts, got {rewards_G.numel()}")
    centred_G = rewards_G - rewards_G.mean()
    if not normalise:
        return centred_G
    return centred_G / (rewards_G.std(correction=1) + STD_EPSILON)


def has_signal(rewards_G: Tensor) -> bool:
    """Tell whether the rewards of a group differ; decided on rewards, not on rounded advantages."""
    return bool(rewards_G.max() != rewards_G.min())
