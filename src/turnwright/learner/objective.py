"""Objective: what the tokens of a pass go through, from log-probabilities to a scalar.

    total = policy loss (c_t v_t)  +  kl_coefficient sum_t c_t KL_t  -  entropy_coefficient sum_t c_t H_t

v_t: the weight of a token whose ratio starts from a proximal policy (``corrections.py``), 1 without one. KL_t carries
its own ratio to the sampler, so v_t is the policy loss's alone. Every part is a sum over tokens with weights of the
whole update: the losses of micro-batches add up.
"""

from dataclasses import dataclass
from typing import cast, get_args

from torch import Tensor

from turnwright.algorithms.cispo import cispo_loss
from turnwright.algorithms.corrections import band_weight, truncated_weight
from turnwright.algorithms.divergence import KlForm, kl_penalty
from turnwright.algorithms.gspo import gspo_loss
from turnwright.algorithms.importance_sampling import importance_sampling_loss
from turnwright.algorithms.policy_loss import PolicyLoss
from turnwright.algorithms.ppo import ppo_loss
from turnwright.config.algorithm import LossName
from turnwright.learner.extensions import CustomLoss, load_loss
from turnwright.learner.tokens import PassTokens
from turnwright.models.forward import TokenScores


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """Names and meaning as in the [algorithm] section."""

    loss_fn: LossName | CustomLoss = "ppo"
    clip_low_threshold: float = 0.8
    clip_high_threshold: float = 1.2
    dual_clip: float | None = None
    kl_coefficient: float = 0.0
    """Of the divergence to the reference as a term of the loss."""
    kl_form: KlForm = "k2"
    entropy_coefficient: float = 0.0
    truncated_importance_cap: float | None = None
    """Read with a proximal policy of its own alone, as the next."""
    importance_band: tuple[float, float] | None = None

    @property
    def has_terms(self) -> bool:
        """Whether tokens without an advantage have a gradient too."""
        return bool(self.kl_coefficient or self.entropy_coefficient)

    @property
    def corrects(self) -> bool:
        """Whether tokens are weighted by prox / q."""
        return self.truncated_importance_cap is not None or self.importance_band is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of one pass and its parts."""

    total: Tensor
    """Scalar; carries the gradient."""
    policy: PolicyLoss
    kl_term: Tensor
    """Scalar, detached; 0 without one."""
    entropy_bonus: Tensor
    """Scalar, detached; 0 without one."""


def find_loss(name: str) -> LossName | CustomLoss:
    """Return a loss by its name, or load the one at a place; raises ConfigError."""
    return cast(LossName, name) if name in get_args(LossName) else load_loss(name)


def objective(scores: TokenScores, tokens: PassTokens, settings: LossSettings) -> Objective:
    """Return the loss of one pass.

    Args:
        scores: log p of its trained tokens, differentiable, and their entropy, which is so where it has a coefficient.
        tokens: What else is known of them.
        settings: Which loss and terms.
    """
    weights_T = tokens.weights_T * correction(tokens, settings)
    policy = policy_loss(scores.logprobs, tokens.old_T, tokens.advantages_T, weights_T, tokens.lengths_S, settings)
    total = policy.loss
    kl_term = entropy_bonus = total.new_zeros(())
    if settings.kl_coefficient:
        assert tokens.reference_T is not None
        kl_T = kl_penalty(scores.logprobs, tokens.reference_T, tokens.sampled_T, form=settings.kl_form)
        kl_term = settings.kl_coefficient * (tokens.term_weights_T * kl_T).sum()
        total = total + kl_term
    if settings.entropy_coefficient:
        entropy_bonus = settings.entropy_coefficient * (tokens.term_weights_T * scores.entropy).sum()
        total = total - entropy_bonus
    return Objective(total=total, policy=policy, kl_term=kl_term.detach(), entropy_bonus=entropy_bonus.detach())


def correction(tokens: PassTokens, settings: LossSettings) -> Tensor:
    """Return v_t, [T]: the weight prox / q of tokens whose ratio starts from the proximal policy; 1 without one."""
    if settings.truncated_importance_cap is not None:
        return truncated_weight(tokens.old_T, tokens.sampled_T, cap=settings.truncated_importance_cap)
    if settings.importance_band is not None:
        low, high = settings.importance_band
        return band_weight(tokens.old_T, tokens.sampled_T, low=low, high=high)
    return tokens.weights_T.new_ones(tokens.weights_T.shape)


def policy_loss(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    advantages_T: Tensor,
    weights_T: Tensor,
    lengths_S: Tensor,
    settings: LossSettings,
) -> PolicyLoss:
    """Return the policy loss of one pass.

    Args:
        logprobs_T: log p of the trained tokens, row after row, differentiable.
        old_logprobs_T: What the ratio is formed with.
        advantages_T: A, per token.
        weights_T: c, per token.
        lengths_S: Trained tokens of each row.
        settings: Which loss.
    """
    low, high = settings.clip_low_threshold, settings.clip_high_threshold
    tokens = (logprobs_T, old_logprobs_T, advantages_T, weights_T)
    match settings.loss_fn:
        case "importance_sampling":
            return importance_sampling_loss(*tokens)
        case "cispo":
            return cispo_loss(*tokens, clip_low_threshold=low, clip_high_threshold=high)
        case "gspo":
            return gspo_loss(*tokens, lengths_S, clip_low_threshold=low, clip_high_threshold=high)
        case "ppo":
            return ppo_loss(*tokens, clip_low_threshold=low, clip_high_threshold=high, dual_clip=settings.dual_clip)
        case CustomLoss() as loss:
            return loss(*tokens, lengths_S, clip_low_threshold=low, clip_high_threshold=high)
