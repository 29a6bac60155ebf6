"""REINFORCE++ (arXiv:2501.03262): advantages normalised over all sampled tokens of a step, not within a group.

Legend: R_i = reward of attempt i, l_i = its sampled tokens; _N = the sampled tokens of the whole step, attempt after
attempt; n = survivors of a group.

    reinforce_pp            A_{i,t} = R_i - beta sum_{s >= t} KL_s
    reinforce_pp_baseline   A_{i,t} = R_i - mean of R over the group of i

each minus its mean and over its standard deviation, both over _N (sample deviation, + 1e-6). KL_s is the k1 estimate
log p_s - log ref_s of token s, where the run puts KL into the reward.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

STD_EPSILON = 1e-6


def penalised_returns(reward: float, kl_T: Tensor, *, kl_coefficient: float) -> Tensor:
    """Return R - beta sum_{s >= t} KL_s for each token of one attempt.

    Args:
        reward: R.
        kl_T: KL_s of the attempt's sampled tokens, in the order they were sampled.
        kl_coefficient: beta.
    """
    return reward - kl_coefficient * kl_T.flip(0).cumsum(0).flip(0)


def group_centred(rewards: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return R_i - mean(R) for each group; the mean of ``reinforce_pp_baseline`` before it is normalised.

    Raises ValueError for a group of fewer than two survivors.
    """
    for rewards_G in rewards:
        if rewards_G.numel() < 2:
            raise ValueError(f"reinforce_pp_baseline needs at least 2 surviving attempts, got {rewards_G.numel()}")
    return tuple(rewards_G - rewards_G.mean() for rewards_G in rewards)


def standardise(values: Sequence[Tensor], lengths: Sequence[int]) -> tuple[Tensor, ...]:
    """Return values minus their mean and over their standard deviation, over all sampled tokens of the step.

    Where all are equal they are exactly 0, whatever their mean is rounded to.

    Args:
        values: For each attempt one value per sampled token [l_i], or a single one [1] that all its tokens have.
        lengths: l_i.

    Raises:
        ValueError: a value does not belong to a token, or the step has fewer than two tokens.
    """
    for value_T, length in zip(values, lengths, strict=True):
        if value_T.numel() not in (1, length):
            raise ValueError(f"an attempt of {length} sampled tokens needs 1 or {length} values: got {value_T.numel()}")
    tokens_N = torch.cat([value_T.expand(length) for value_T, length in zip(values, lengths, strict=True)])
    if tokens_N.numel() < 2:
        raise ValueError(f"reinforce_pp normalises over the tokens of a step, at least 2: got {tokens_N.numel()}")
    if tokens_N.max() == tokens_N.min():
        return tuple(torch.zeros_like(value_T) for value_T in values)
    mean, std = tokens_N.mean(), tokens_N.std(correction=1)
    return tuple((value_T - mean) / (std + STD_EPSILON) for value_T in values)
