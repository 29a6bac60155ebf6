"""Corrections for tokens that another policy sampled than the one the ratio is formed with.

Legend: p = policy in training, q = sampling policy, prox = proximal policy, which the ratio u = p / prox starts from.
Each function returns a factor per token, without gradient, that multiplies the token's weight in any loss called with
``old = prox``; the weights' normaliser stays what it was.
"""

from torch import Tensor


def truncated_weight(prox_logprobs_T: Tensor, sampled_logprobs_T: Tensor, *, cap: float) -> Tensor:
    """Return min(prox / q, cap): truncated importance sampling (Ionides, 2008).

    With a clipped loss on u this is the decoupled objective of arXiv:2110.00641, eq. 2, with the cap of
    arXiv:2505.24298:

        loss = - sum_t c_t min(prox_t / q_t, cap) min(u_t A_t, clip(u_t) A_t)

    Args:
        prox_logprobs_T: log prox.
        sampled_logprobs_T: log q.
        cap: Largest factor, > 0.
    """
    return (prox_logprobs_T - sampled_logprobs_T).exp().clamp(max=cap).detach()


def band_weight(prox_logprobs_T: Tensor, sampled_logprobs_T: Tensor, *, low: float = 0.5, high: float = 5.0) -> Tensor:
    """Return prox / q inside [low, high], and 0 where the policies disagree by more (arXiv:2510.18855)."""
    ratio_T = (prox_logprobs_T - sampled_logprobs_T).exp().detach()
    return ratio_T.where((ratio_T >= low) & (ratio_T <= high), ratio_T.new_zeros(()))


def interpolated_proximal(logprobs_T: Tensor, sampled_logprobs_T: Tensor, staleness_T: Tensor) -> Tensor:
    """Return log prox without another forward pass: log-linear between q and p (arXiv:2512.06547).

        log prox = (1/d) log q + (1 - 1/d) log p     for staleness d >= 1
        log prox = log q                             for d = 0

    It stands for the policy one version before p, if the log-probability went evenly from q to p. With w = p / q,

        u = p / prox = w^(1/d)        prox / q = w^(1 - 1/d)

    so that a clip of u at [low, high] is one of w at [low^d, high^d], and d = 1 is the sampler's own ratio.

    Args:
        logprobs_T: log p in the pass that trains the token: in each update of a step anew, as in the authors' code.
        sampled_logprobs_T: log q.
        staleness_T: d, versions between the update and the one that sampled the token.
    """
    share_T = 1.0 / staleness_T.clamp(min=1).to(logprobs_T.dtype)
    return (share_T * sampled_logprobs_T + (1.0 - share_T) * logprobs_T).detach()
