"""Estimates of how far two policies are apart, from tokens sampled by one of them (Schulman, 2020, "Approximating KL").

Legend: p = trained policy, q = sampling policy, tokens drawn from q; _T = tokens.
"""

from torch import Tensor


def k3(logprobs_T: Tensor, sampled_logprobs_T: Tensor) -> Tensor:
    """Return the per-token estimate of KL(q || p): (w - 1) - log w with w = p/q; never negative, unbiased."""
    log_ratio_T = logprobs_T - sampled_logprobs_T
    return log_ratio_T.expm1() - log_ratio_T
