"""CISPO: the ratio is clipped and then held constant, so that no token loses its gradient (arXiv:2506.13585, eq. 4).

    loss = - sum_t c_t sg[clip(w_t, low, high)] A_t log p_t,     w_t = p_t / old_t

sg stops the gradient. The paper bounds the ratio above only, as arXiv:2510.13786 does: low is 0 by default. Thresholds
are absolute ratios.
"""

from torch import Tensor

from turnwright.algorithms.policy_loss import PolicyLoss


def cispo_loss(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    advantages_T: Tensor,
    weights_T: Tensor,
    *,
    clip_low_threshold: float,
    clip_high_threshold: float,
) -> PolicyLoss:
    """Return the loss of one pass.

    Args:
        logprobs_T: log p_t, differentiable.
        old_logprobs_T: log old_t.
        advantages_T: A_t.
        weights_T: c_t.
        clip_low_threshold: Least weight a token's gradient has.
        clip_high_threshold: Largest weight a token's gradient has.
    """
    ratio_T = (logprobs_T.detach() - old_logprobs_T).exp()
    bounded_T = ratio_T.clamp(clip_low_threshold, clip_high_threshold)
    return PolicyLoss(
        loss=-(weights_T * bounded_T * advantages_T * logprobs_T).sum(),
        ratio_T=ratio_T,
        clipped_T=bounded_T != ratio_T,
    )
