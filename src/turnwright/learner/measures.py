"""Measures: what the updates of a step report about their tokens, and the metrics that come of it.

Legend: all tensors are [T], the trained tokens of one pass or of all passes of an update.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from turnwright.algorithms.divergence import k3, log_ratio_to_reference
from turnwright.learner.objective import LossSettings, Objective, correction
from turnwright.learner.tokens import PassTokens
from turnwright.models.forward import TokenScores


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Of one pass, or of an update."""

    loss: Tensor
    """Total of each pass, [passes], as the next two."""
    kl_term: Tensor
    entropy_bonus: Tensor
    gap: Tensor
    """|log p - log q|"""
    kl: Tensor
    """k3 of p and q: KL(q || p)"""
    ratio: Tensor
    clipped: Tensor
    entropy: Tensor
    reference_log_ratio: Tensor
    """log p - log ref (k1); empty without a reference, as the next."""
    reference_kl: Tensor
    """k3 of ref and p: KL(p || ref)"""
    proximal_ratio: Tensor
    """prox / q; empty where ratios start from the sampler, as the next."""
    corrected: Tensor
    """1 where the weight of a token is not prox / q: above the cap, or outside the band."""


def measure(scores: TokenScores, tokens: PassTokens, result: Objective, settings: LossSettings) -> Measures:
    """Return the measures of one pass."""
    logprobs_T = scores.logprobs.detach()
    nothing = logprobs_T.new_zeros(0)
    log_ratio = reference_kl = proximal_ratio = corrected = nothing
    if tokens.reference_T is not None:
        log_ratio = log_ratio_to_reference(logprobs_T, tokens.reference_T)
        reference_kl = k3(tokens.reference_T, logprobs_T)
    if tokens.old_T is not tokens.sampled_T:
        proximal_ratio = (tokens.old_T - tokens.sampled_T).exp()
        if settings.corrects:
            corrected = (correction(tokens, settings) != proximal_ratio).float()
    return Measures(
        loss=result.total.detach()[None],
        kl_term=result.kl_term[None],
        entropy_bonus=result.entropy_bonus[None],
        gap=(logprobs_T - tokens.sampled_T).abs(),
        kl=k3(logprobs_T, tokens.sampled_T),
        ratio=result.policy.ratio_T,
        clipped=result.policy.clipped_T.float(),
        entropy=scores.entropy.detach(),
        reference_log_ratio=log_ratio,
        reference_kl=reference_kl,
        proximal_ratio=proximal_ratio,
        corrected=corrected,
    )


def join(parts: Sequence[Measures]) -> Measures:
    """Return the measures of several passes or updates as those of one."""
    names = [one.name for one in fields(Measures)]
    return Measures(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def training_metrics(updates: Sequence[Measures], settings: LossSettings) -> Mapping[str, float]:
    """Return ``training/*`` of the updates of a step; sums over tokens are means over updates."""
    first, every = updates[0], join(updates)
    metrics = {
        "training/loss": every.loss.sum().item() / len(updates),
        "training/entropy": first.entropy.mean().item(),
        "training/clip_fraction": every.clipped.mean().item(),
        "training/kl_to_sampler": every.kl.mean().item(),
        **_ratio_metrics("training/ratio", every.ratio),
        "training/on_policy_ratio_mean": first.ratio.mean().item(),
        "training/on_policy_kl": first.kl.mean().item(),
        "training/sampler_logprob_gap/mean": first.gap.mean().item(),
        "training/sampler_logprob_gap/max": first.gap.max().item(),
        "training/trained_tokens": float(every.ratio.numel()),
    }
    if every.reference_kl.numel():
        metrics["training/kl_to_reference"] = every.reference_kl.mean().item()
        metrics["training/log_ratio_to_reference"] = every.reference_log_ratio.mean().item()
    if settings.kl_coefficient:
        metrics["training/kl_term"] = every.kl_term.sum().item() / len(updates)
    if settings.entropy_coefficient:
        metrics["training/entropy_bonus"] = every.entropy_bonus.sum().item() / len(updates)
    if every.proximal_ratio.numel():
        metrics |= _ratio_metrics("training/proximal/ratio", every.proximal_ratio)
    if every.corrected.numel():
        name = "capped_frac" if settings.importance_band is None else "outside_frac"
        metrics[f"training/proximal/{name}"] = every.corrected.mean().item()
    return metrics


def _ratio_metrics(name: str, ratio: Tensor) -> dict[str, float]:
    """Return mean, bounds and the share of tokens that carry the weight: (sum w)^2 / (T sum w^2)."""
    return {
        f"{name}/mean": ratio.mean().item(),
        f"{name}/min": ratio.min().item(),
        f"{name}/max": ratio.max().item(),
        f"{name}/ess": (ratio.sum() ** 2 / (ratio**2).sum() / len(ratio)).item(),
    }
