"""Objective: which loss the tokens of a pass go through, and with which thresholds."""

from dataclasses import dataclass

from torch import Tensor

from turnwright.algorithms.cispo import cispo_loss
from turnwright.algorithms.gspo import gspo_loss
from turnwright.algorithms.importance_sampling import importance_sampling_loss
from turnwright.algorithms.policy_loss import PolicyLoss
from turnwright.algorithms.ppo import ppo_loss
from turnwright.config.algorithm import LossName


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """Names and meaning as in the [algorithm] section."""

    loss_fn: LossName = "ppo"
    clip_low_threshold: float = 0.8
    clip_high_threshold: float = 1.2
    dual_clip: float | None = None


def policy_loss(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    advantages_T: Tensor,
    weights_T: Tensor,
    lengths_S: Tensor,
    settings: LossSettings,
) -> PolicyLoss:
    """Return the loss of one pass.

    Args:
        logprobs_T: log p of the trained tokens, row after row, differentiable.
        old_logprobs_T: What the ratio is formed with.
        advantages_T: A, per token.
        weights_T: c, per token.
        lengths_S: Trained tokens of each row.
        settings: Which loss.
    """
    low, high = settings.clip_low_threshold, settings.clip_high_threshold
    match settings.loss_fn:
        case "importance_sampling":
            return importance_sampling_loss(logprobs_T, old_logprobs_T, advantages_T, weights_T)
        case "cispo":
            return cispo_loss(
                logprobs_T, old_logprobs_T, advantages_T, weights_T, clip_low_threshold=low, clip_high_threshold=high
            )
        case "gspo":
            return gspo_loss(
                logprobs_T,
                old_logprobs_T,
                advantages_T,
                weights_T,
                lengths_S,
                clip_low_threshold=low,
                clip_high_threshold=high,
            )
        case "ppo":
            return ppo_loss(
                logprobs_T,
                old_logprobs_T,
                advantages_T,
                weights_T,
                clip_low_threshold=low,
                clip_high_threshold=high,
                dual_clip=settings.dual_clip,
            )
