r"""Advantages for the best of k attempts (pass@k): an attempt earns what it adds to the k-subsets it belongs to.

Legend: _G = the n surviving attempts of one group; r_(0) <= ... <= r_(n-1) = their rewards in ascending order.

    A_i = mean over the k-subsets S that contain i of ( max_S R - max_{S without i} R )

Of the subsets that contain i, only those change their maximum in which nobody else reaches R_i. Sorted, this is a sum
of the gaps below i, each times the share of (k-1)-subsets of the others that lie entirely below it:

    A_(j) = A_(j-1) + (r_(j) - r_(j-1)) C(j, k-1) / C(n-1, k-1)

which takes O(n log n), has no cancellation, and is never negative. For any real rewards (k/n) sum_i A_i grad log p_i
is an unbiased estimate of the gradient of E[max of k attempts] (arXiv:2505.15201). With k = n the best attempt gets
r_max - r_second and all others 0 (arXiv:2503.19595).
"""

from math import comb, sqrt

import torch
from torch import Tensor

STD_EPSILON = 1e-6


def grpo_passk(rewards_G: Tensor, *, k: int) -> Tensor:
    """Return the subset form, for any real rewards.

    Args:
        rewards_G: Rewards of the survivors.
        k: ``advantage_k``, 2 <= k <= n.

    Raises:
        ValueError: k is out of range.
    """
    n = rewards_G.numel()
    _require_k(k, n)
    order_G = rewards_G.argsort()
    sorted_G = rewards_G[order_G]
    gaps_G = torch.diff(sorted_G, prepend=sorted_G[:1])
    shares = [comb(rank, k - 1) / comb(n - 1, k - 1) for rank in range(n)]
    shares_G = torch.tensor(shares, dtype=rewards_G.dtype, device=rewards_G.device)
    return torch.zeros_like(rewards_G).scatter(0, order_G, (gaps_G * shares_G).cumsum(0))


def grpo_passk_analytic(rewards_G: Tensor, *, k: int) -> Tensor:
    """Return the standardised form for rewards 0 and 1 (arXiv:2508.10751, "analytical derivation").

        m = 1 - C(w, k) / C(n, k)         share of k-subsets with a right attempt; w = number of wrong attempts
        s = sqrt(m (1 - m))
        right attempts  (1 - m) / (s + 1e-6)
        wrong attempts  (1 - m - C(w-1, k-1) / C(n-1, k-1)) / (s + 1e-6)

    All advantages are 0 for w < k: every subset has a right attempt, so nothing can be gained.

    Args:
        rewards_G: Rewards of the survivors, each 0 or 1.
        k: ``advantage_k``, 2 <= k < n.

    Raises:
        ValueError: k is out of range, or a reward is neither 0 nor 1.
    """
    n = rewards_G.numel()
    _require_k(k, n)
    if k == n:
        raise ValueError(
            f"the analytic form needs advantage_k < n: got k = n = {n}, where the only subset has no spread"
        )
    right_G = rewards_G == 1
    if not bool((right_G | (rewards_G == 0)).all()):
        raise ValueError(f"the analytic form needs rewards 0 and 1: got {rewards_G}; use the subset form")
    wrong = n - int(right_G.sum())
    if wrong < k:
        return torch.zeros_like(rewards_G)
    missed = comb(wrong, k) / comb(n, k)
    scale = sqrt(missed * (1 - missed)) + STD_EPSILON
    missed_with_it = comb(wrong - 1, k - 1) / comb(n - 1, k - 1)
    of_right, of_wrong = missed / scale, (missed - missed_with_it) / scale
    return torch.where(right_G, torch.full_like(rewards_G, of_right), torch.full_like(rewards_G, of_wrong))


def max_minus_second(rewards_G: Tensor) -> Tensor:
    """Return r_max - r_second for the best attempt and 0 for all others (arXiv:2503.19595): the subset form of k = n.

    Raises ValueError for fewer than two survivors.
    """
    return grpo_passk(rewards_G, k=rewards_G.numel())


def _require_k(k: int, n: int) -> None:
    if not 2 <= k <= n:
        raise ValueError(f"advantage_k must lie between 2 and the {n} surviving attempts of a group: got {k}")
