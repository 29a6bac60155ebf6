"""Weights of tokens in one optimizer update: how a sum over tokens becomes a mean, whatever the micro-batches.

    token     c_t = 1 / N            N = sampled tokens of the update
    rollout   c_t = 1 / (M l_i)      M = attempts of the update, l_i = sampled tokens of the token's attempt
    sequence  as rollout, of attempts of one row each: the mean of GRPO (arXiv:2402.03300) and GSPO (arXiv:2507.18071)
    constant  c_t = 1 / (M L)        L = a constant, which keeps no length in the weight (Dr. GRPO, arXiv:2503.20783)

The number of rows an attempt was cut into never matters; for "sequence", where it would, the learner refuses attempts
of several.
"""

from typing import Literal

Aggregation = Literal["token", "rollout", "sequence", "constant"]


def token_weight(
    aggregation: Aggregation,
    *,
    num_tokens: int,
    num_attempts: int,
    attempt_tokens: int,
    constant_tokens: int | None = None,
) -> float:
    """Return c_t for the tokens of one attempt.

    Args:
        aggregation: Which of the four.
        num_tokens: N.
        num_attempts: M.
        attempt_tokens: l_i.
        constant_tokens: L, of "constant" alone.

    Raises:
        ValueError: "constant" without L.
    """
    if aggregation == "token":
        return 1.0 / num_tokens
    if aggregation != "constant":
        return 1.0 / (num_attempts * attempt_tokens)
    if constant_tokens is None:
        raise ValueError("aggregation 'constant' divides by constant_tokens: got None, expected at least 1")
    return 1.0 / (num_attempts * constant_tokens)
