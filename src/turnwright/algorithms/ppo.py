"""PPO's clipped surrogate (arXiv:1707.06347), per token, without a value function.

    loss = - sum_t c_t min(w_t A_t, clip(w_t, low, high) A_t),     w_t = p_t / q_t = exp(log p_t - log q_t)

p: the policy being trained.  q: the policy that sampled the token.  A_t: advantage.  c_t: the token's weight in the
update; weights are made from the *whole* update (``reduce.py``), so that micro-batches add up to one large batch.
Thresholds are absolute ratios, as SageMaker spells them. Shapes: _T is the trained tokens of a pass, flattened.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoss:
    """Loss of one pass and what is worth reporting about its tokens."""

    loss: Tensor
    """Scalar; carries the gradient."""
    ratio_T: Tensor
    """w_t, detached."""
    clipped_T: Tensor
    """True where the clip took the gradient away."""


def ppo_loss(
    logprobs_T: Tensor,
    sampled_logprobs_T: Tensor,
    advantages_T: Tensor,
    weights_T: Tensor,
    *,
    clip_low_threshold: float,
    clip_high_threshold: float,
) -> PolicyLoss:
    """Return the clipped surrogate of one pass.

    Args:
        logprobs_T: log p_t, differentiable.
        sampled_logprobs_T: log q_t.
        advantages_T: A_t.
        weights_T: c_t.
        clip_low_threshold: Ratio below which a token with A < 0 is no longer pushed down.
        clip_high_threshold: Ratio above which a token with A > 0 is no longer pushed up.
    """
    ratio_T = (logprobs_T - sampled_logprobs_T).exp()
    free_T = ratio_T * advantages_T
    bound_T = ratio_T.clamp(clip_low_threshold, clip_high_threshold) * advantages_T
    return PolicyLoss(
        loss=-(weights_T * torch.minimum(free_T, bound_T)).sum(),
        ratio_T=ratio_T.detach(),
        clipped_T=(bound_T < free_T).detach(),
    )
