"""Importance-weighted policy gradient, per token, without any clip.

    loss = - sum_t c_t w_t A_t,     w_t = p_t / old_t

Its gradient is that of REINFORCE with every token weighted by w (Sutton & Barto, ch. 5.5 and 13.3). Unbiased per token,
of unbounded variance: for data that is fresh, or nearly.
"""

import torch
from torch import Tensor

from turnwright.algorithms.policy_loss import PolicyLoss


def importance_sampling_loss(
    logprobs_T: Tensor, old_logprobs_T: Tensor, advantages_T: Tensor, weights_T: Tensor
) -> PolicyLoss:
    """Return the loss of one pass.

    Args:
        logprobs_T: log p_t, differentiable.
        old_logprobs_T: log old_t.
        advantages_T: A_t.
        weights_T: c_t.
    """
    ratio_T = (logprobs_T - old_logprobs_T).exp()
    return PolicyLoss(
        loss=-(weights_T * ratio_T * advantages_T).sum(),
        ratio_T=ratio_T.detach(),
        clipped_T=torch.zeros_like(ratio_T, dtype=torch.bool),
    )
