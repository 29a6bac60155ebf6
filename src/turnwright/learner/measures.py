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
    staleness: Tensor
    """d, integer"""
    log_importance: Tensor
    """log p - log q"""
    ratio: Tensor
    """As the loss forms it: p / q, p / prox, or that of the sequence."""
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
        staleness=tokens.staleness_T,
        log_importance=logprobs_T - tokens.sampled_T,
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


def staleness_metrics(updates: Sequence[Measures], *, max_staleness: int) -> Mapping[str, float]:
    """Return how stale the trained tokens of a step were, and what fresh and stale ones say apart.

    In the first update p is what the step starts from: there the gap of fresh tokens is the disagreement of engine and
    learner, and that of stale ones how far the policy has gone since they were sampled.

    Args:
        updates: Of the step.
        max_staleness: Tokens are counted for each staleness from 0 to this.
    """
    first, every = updates[0], join(updates)
    fresh_T, stale_T = first.staleness == 0, first.staleness > 0
    counts = every.staleness.bincount(minlength=max_staleness + 1).tolist()
    metrics = {
        "training/staleness/mean": every.staleness.float().mean().item(),
        "training/staleness/max": float(every.staleness.max()),
        **{f"training/staleness/tokens_{d}": float(count) for d, count in enumerate(counts)},
        "training/stale_frac": (every.staleness > 0).float().mean().item(),
        "training/guard_tokens": float(fresh_T.sum()),
    }
    if bool(fresh_T.any()):
        metrics |= _gap_metrics("training/sampler_logprob_gap", first.gap[fresh_T])
        metrics["training/on_policy_ratio_mean"] = first.ratio[fresh_T].mean().item()
        metrics["training/on_policy_kl"] = first.kl[fresh_T].mean().item()
    if bool(stale_T.any()):
        metrics |= _gap_metrics("training/policy_drift", first.gap[stale_T])
        metrics["training/policy_drift/kl"] = first.kl[stale_T].mean().item()
    return metrics | _apart(every, counts)


def _apart(every: Measures, counts: Sequence[int]) -> dict[str, float]:
    """Return ratios and their effective sample size by staleness; nothing where all tokens are fresh."""
    if not any(counts[1:]):
        return {}
    metrics: dict[str, float] = {}
    for name, chosen_T in (("fresh", every.staleness == 0), ("stale", every.staleness > 0)):
        if bool(chosen_T.any()):
            ratio = every.ratio[chosen_T]
            metrics |= {
                f"training/ratio/mean_{name}": ratio.mean().item(),
                f"training/ratio/ess_{name}": _effective_share(ratio),
            }
    for d, count in enumerate(counts):
        if count:
            log_importance = every.log_importance[every.staleness == d]
            metrics |= {
                f"training/staleness/ratio_{d}": log_importance.exp().mean().item(),
                f"training/staleness/ess_{d}": _effective_share((log_importance - log_importance.max()).exp()),
            }
    return metrics


def _ratio_metrics(name: str, ratio: Tensor) -> dict[str, float]:
    return {
        f"{name}/mean": ratio.mean().item(),
        f"{name}/min": ratio.min().item(),
        f"{name}/max": ratio.max().item(),
        f"{name}/ess": _effective_share(ratio),
    }


def _gap_metrics(name: str, gap: Tensor) -> dict[str, float]:
    return {f"{name}/mean": gap.mean().item(), f"{name}/max": gap.max().item()}


def _effective_share(ratio: Tensor) -> float:
    """Return the share of tokens that carry the weight: (sum w)^2 / (T sum w^2)."""
    return (ratio.sum() ** 2 / (ratio**2).sum() / len(ratio)).item()
