"""The weight canary: after each update, do engine and learner still mean the same weights?"""

from collections.abc import Sequence

import torch

from turnwright.core.errors import SamplerMismatchError
from turnwright.models.forward import score_tokens
from turnwright.models.load import Policy

CANARY_TEMPERATURE = 4.0
"""A trained policy is certain of its first words, and certainty looks the same under any weights: heat shows them."""
CANARY_LIMIT = {torch.float32: 1e-3, torch.bfloat16: 0.2}
"""Largest |log p - log q| on the canary that is still rounding."""


def require_same_weights(
    policy: Policy, prompt_token_ids: Sequence[int], sampled_token_ids: Sequence[int], logprobs: Sequence[float]
) -> float:
    """Score a reply that the engine sampled at ``CANARY_TEMPERATURE``; return the largest gap in log-probability.

    Raises SamplerMismatchError when the engine samples from other weights than the learner's.
    """
    row = (*prompt_token_ids, *sampled_token_ids)
    wanted = [False] * len(prompt_token_ids) + [True] * len(sampled_token_ids)
    with torch.no_grad():
        scores = score_tokens(policy, [row], [wanted], [[CANARY_TEMPERATURE] * len(row)])
    gap = (scores.logprobs.cpu() - torch.tensor(logprobs)).abs().max().item()
    limit = CANARY_LIMIT[policy.model.dtype]
    if not gap <= limit:
        raise SamplerMismatchError(
            f"engine and learner differ by {gap:.2g} on the canary sequence (expected at most {limit:g}): "
            "the engine samples from other weights than were just trained"
        )
    return gap
