"""Weights of tokens in one optimizer update: how a sum over tokens becomes a mean, whatever the micro-batches.

    token    c_t = 1 / N            N = sampled tokens of the update
    rollout  c_t = 1 / (M l_i)      M = attempts of the update, l_i = sampled tokens of the token's attempt

The number of rows an attempt was cut into never matters.
"""

from typing import Literal

Aggregation = Literal["token", "rollout"]


def token_weight(aggregation: Aggregation, *, num_tokens: int, num_attempts: int, attempt_tokens: int) -> float:
    """Return c_t for the tokens of one attempt.

    Args:
        aggregation: "token" or "rollout".
        num_tokens: N.
        num_attempts: M.
        attempt_tokens: l_i.
    """
    if aggregation == "token":
        return 1.0 / num_tokens
    return 1.0 / (num_attempts * attempt_tokens)
