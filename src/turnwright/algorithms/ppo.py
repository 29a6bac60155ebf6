"""PPO's clipped surrogate (arXiv:1707.06347), per token, without a value function.

    loss = - sum_t c_t min(w_t A_t, clip(w_t, low, high) A_t),     w_t = p_t / old_t = exp(log p_t - log old_t)

p: the policy being trained.  old: the policy that sampled the token, or a proximal one.  A_t: advantage.  c_t: the
token's weight in the update. Thresholds are absolute ratios, as SageMaker spells them. With a dual clip
(arXiv:1912.09729) a token with A < 0 is never worth less than c A, however large its ratio.
"""

import torch
from torch import Tensor

from turnwright.algorithms.policy_loss import PolicyLoss


def ppo_loss(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    advantages_T: Tensor,
    weights_T: Tensor,
    *,
    clip_low_threshold: float,
    clip_high_threshold: float,
    dual_clip: float | None = None,
) -> PolicyLoss:
    """Return the clipped surrogate of one pass.

    Args:
        logprobs_T: log p_t, differentiable.
        old_logprobs_T: log old_t.
        advantages_T: A_t.
        weights_T: c_t.
        clip_low_threshold: Ratio below which a token with A < 0 is no longer pushed down.
        clip_high_threshold: Ratio above which a token with A > 0 is no longer pushed up.
        dual_clip: Ratio above which a token with A < 0 is no longer pushed down, above ``clip_high_threshold``; None =
            none, 3 in the paper.
    """
    ratio_T = (logprobs_T - old_logprobs_T).exp()
    free_T = ratio_T * advantages_T
    bound_T = ratio_T.clamp(clip_low_threshold, clip_high_threshold) * advantages_T
    terms_T = torch.minimum(free_T, bound_T)
    clipped_T = bound_T < free_T
    if dual_clip is not None:
        floor_T = dual_clip * advantages_T
        sunk_T = (advantages_T < 0) & (floor_T > terms_T)
        terms_T = torch.where(sunk_T, floor_T, terms_T)
        clipped_T = clipped_T | sunk_T
    return PolicyLoss(loss=-(weights_T * terms_T).sum(), ratio_T=ratio_T.detach(), clipped_T=clipped_T.detach())
