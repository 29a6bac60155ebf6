"""GSPO: PPO's clipped surrogate with one ratio per sequence (arXiv:2507.18071, eq. 5 to 7).

    loss = - sum_i c_i min(s_i A_i, clip(s_i, low, high) A_i),     s_i = exp( mean over t of log p_t - log old_t )

The mean over the l_i trained tokens of a sequence keeps s near 1 whatever its length, so that thresholds lie much
closer to 1 than those of a token's ratio: 1 - 3e-4 and 1 + 4e-4 in the paper. A sequence is a row, and c_i its weight
in the update; an attempt that was cut into several rows has no single ratio.

Legend: _S = sequences of one pass, _T = their trained tokens, one sequence after the other.
"""

import torch
from torch import Tensor

from turnwright.algorithms.policy_loss import PolicyLoss


def gspo_loss(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    advantages_S: Tensor,
    weights_S: Tensor,
    lengths_S: Tensor,
    *,
    clip_low_threshold: float,
    clip_high_threshold: float,
) -> PolicyLoss:
    """Return the loss of one pass.

    Args:
        logprobs_T: log p_t, differentiable.
        old_logprobs_T: log old_t.
        advantages_S: A_i.
        weights_S: c_i.
        lengths_S: l_i; they sum to T.
        clip_low_threshold: Ratio below which a sequence with A < 0 is no longer pushed down.
        clip_high_threshold: Ratio above which a sequence with A > 0 is no longer pushed up.
    """
    sequence_T = torch.arange(lengths_S.numel(), device=lengths_S.device).repeat_interleave(lengths_S)
    summed_S = torch.zeros_like(advantages_S, dtype=logprobs_T.dtype).index_add(
        0, sequence_T, logprobs_T - old_logprobs_T
    )
    ratio_S = (summed_S / lengths_S).exp()
    free_S = ratio_S * advantages_S
    bound_S = ratio_S.clamp(clip_low_threshold, clip_high_threshold) * advantages_S
    return PolicyLoss(
        loss=-(weights_S * torch.minimum(free_S, bound_S)).sum(),
        ratio_T=ratio_S.detach()[sequence_T],
        clipped_T=(bound_S < free_S).detach()[sequence_T],
    )
