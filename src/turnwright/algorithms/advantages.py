"""Advantages: how much better an attempt was than its group.

Legend: _G = the n surviving attempts of one group. Failed attempts are absent, not zero. Each function returns one
advantage per attempt, which all its sampled tokens have. Per turn: ``turns.py``; best of k: ``passk.py``; over all
tokens of a step: ``reinforce_pp.py``.
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
    _require_two("group_based", rewards_G)
    centred_G = rewards_G - rewards_G.mean()
    if not normalise:
        return centred_G
    return centred_G / (rewards_G.std(correction=1) + STD_EPSILON)


def rloo(rewards_G: Tensor) -> Tensor:
    """Return each reward minus the mean of the others': the leave-one-out baseline (RLOO, arXiv:2402.14740).

        A_i = R_i - mean_{j != i} R_j = n / (n - 1) (R_i - mean(R))

    Raises ValueError for fewer than two survivors.
    """
    _require_two("rloo", rewards_G)
    n = rewards_G.numel()
    return (rewards_G - rewards_G.mean()) * (n / (n - 1))


def opo(rewards_G: Tensor, lengths_G: Tensor) -> Tensor:
    """Return each reward minus the mean weighted by length (OPO, arXiv:2505.23585).

        A_i = R_i - sum_j l_j R_j / sum_j l_j

    The baseline of least variance where the squared norm of an attempt's gradient grows as its length. The paper trains
    exactly on-policy; on stale tokens the baseline is allowed, and no longer optimal.

    Args:
        rewards_G: Rewards of the survivors, n >= 2.
        lengths_G: l_i, sampled tokens of each.

    Raises:
        ValueError: Fewer than two survivors, or one without a sampled token.
    """
    _require_two("opo", rewards_G)
    if not bool((lengths_G > 0).all()):
        raise ValueError(f"opo weighs attempts by their sampled tokens, at least 1 each: got {lengths_G}")
    weights_G = lengths_G.to(rewards_G.dtype)
    return rewards_G - (weights_G * rewards_G).sum() / weights_G.sum()


def gpg_scale(*, num_attempts: int, num_live_attempts: int) -> float:
    """Return alpha, by which GPG (arXiv:2504.02546) multiplies ``group_based`` without the deviation.

        alpha = attempts / attempts of groups whose rewards differ

    It makes up for the groups without signal that still count in the normaliser.

    Raises ValueError when no group has signal: nothing can be scaled.
    """
    if not 0 < num_live_attempts <= num_attempts:
        raise ValueError(f"gpg needs attempts with signal among all {num_attempts}: got {num_live_attempts}")
    return num_attempts / num_live_attempts


def has_signal(rewards_G: Tensor) -> bool:
    """Tell whether the rewards of a group differ; decided on rewards, not on rounded advantages."""
    return bool(rewards_G.max() != rewards_G.min())


def _require_two(name: str, rewards_G: Tensor) -> None:
    if rewards_G.numel() < 2:
        raise ValueError(f"{name} needs at least 2 surviving attempts, got {rewards_G.numel()}")
