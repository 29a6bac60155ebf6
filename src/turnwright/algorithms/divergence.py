"""Estimates of how far two policies are apart, from tokens sampled by one of them (Schulman, 2020, "Approximating KL").

Legend: p = trained policy, q = sampling policy, tokens drawn from q; ref = reference policy; _T = tokens.

Which estimate has the right *gradient* depends on where it stands (arXiv:2510.01555): log p / ref in the reward, or
half its square in the loss. k3 in the loss, as GRPO has it, is biased unless it carries the ratio (arXiv:2512.02556).
"""

from typing import Literal

from torch import Tensor

KlForm = Literal["k2", "k3", "grpo_k3"]


def k3(logprobs_T: Tensor, sampled_logprobs_T: Tensor) -> Tensor:
    """Return the per-token estimate of KL(q || p): (w - 1) - log w with w = p/q; never negative, unbiased."""
    log_ratio_T = logprobs_T - sampled_logprobs_T
    return log_ratio_T.expm1() - log_ratio_T


def log_ratio_to_reference(logprobs_T: Tensor, reference_logprobs_T: Tensor) -> Tensor:
    """Return log p - log ref per token (k1), without gradient: the penalty that goes into a reward."""
    return (logprobs_T - reference_logprobs_T).detach()


def kl_penalty(logprobs_T: Tensor, reference_logprobs_T: Tensor, sampled_logprobs_T: Tensor, *, form: KlForm) -> Tensor:
    """Return the per-token term that, weighted like the policy loss, penalises KL(p || ref).

        d = log p - log ref

        k2        sg[w] d^2 / 2                        gradient w d grad log p, which is right
        k3        w (exp(-d) - 1 + d), through w       an unbiased estimate, so its gradient is right as well
        grpo_k3   exp(-d) - 1 + d                      the biased form of arXiv:2402.03300

    w = p / q makes up for tokens that another policy sampled; sg stops the gradient.

    Args:
        logprobs_T: log p, differentiable.
        reference_logprobs_T: log ref.
        sampled_logprobs_T: log q.
        form: Which of the three.
    """
    difference_T = logprobs_T - reference_logprobs_T
    ratio_T = (logprobs_T - sampled_logprobs_T).exp()
    if form == "k2":
        return ratio_T.detach() * difference_T.square() / 2
    distance_T = (-difference_T).expm1() + difference_T
    return distance_T if form == "grpo_k3" else ratio_T * distance_T
