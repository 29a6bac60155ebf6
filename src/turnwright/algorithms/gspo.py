"""GSPO: PPO's clipped surrogate with one ratio per sequence (arXiv:2507.18071), in its form per token (eq. 13 and 14).

    loss = - sum_t c_t min(s_t A_t, clip(s_t, low, high) A_t),     s_t = sg[s_i] p_t / sg[p_t]
    s_i  = exp( mean over the tokens of sequence i of log p - log old )

sg stops the gradient. s_t has the value of the sequence's ratio and the gradient of its own token, so that tokens of a
sequence may have advantages of their own; where they are equal and c_t = c_i / l_i, loss and gradient are those of
the form per sequence (eq. 5). The mean keeps s near 1 whatever the length: thresholds lie much closer to 1 than those
of a token's ratio, 1 - 3e-4 and 1 + 4e-4 in the paper. A sequence is a row; an attempt that was cut into several rows
has no single ratio.

Legend: _S = sequences of one pass, _T = their trained tokens, one sequence after the other.
"""

import torch
from torch import Tensor

from turnwright.algorithms.policy_loss import PolicyLoss


def gspo_loss(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    advantages_T: Tensor,
    weights_T: Tensor,
    lengths_S: Tensor,
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
        lengths_S: Trained tokens l_i of each sequence; they sum to T.
        clip_low_threshold: Ratio below which tokens with A < 0 are no longer pushed down.
        clip_high_threshold: Ratio above which tokens with A > 0 are no longer pushed up.
    """
    sequence_T = torch.arange(lengths_S.numel(), device=lengths_S.device).repeat_interleave(lengths_S)
    difference_T = logprobs_T.detach() - old_logprobs_T
    summed_S = difference_T.new_zeros(lengths_S.numel()).index_add(0, sequence_T, difference_T)
    value_T = (summed_S / lengths_S).exp()[sequence_T]
    ratio_T = value_T * (logprobs_T - logprobs_T.detach()).exp()
    free_T = ratio_T * advantages_T
    bound_T = ratio_T.clamp(clip_low_threshold, clip_high_threshold) * advantages_T
    return PolicyLoss(
        loss=-(weights_T * torch.minimum(free_T, bound_T)).sum(),
        ratio_T=value_T,
        clipped_T=(bound_T < free_T).detach(),
    )
