"""Step: one global batch of groups in, ``updates_per_step`` optimizer updates, metrics out.

The sampler's log-probabilities stay the old policy's through all updates of the step. The first update of a fresh batch
is on-policy, so the learner must find the sampler's numbers again; when it does not, training would be quietly wrong
and the step raises before it changes a weight.
"""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from turnwright.algorithms.divergence import k3
from turnwright.core.errors import SamplerMismatchError, TrainingError
from turnwright.core.group import TrainableGroup
from turnwright.core.update import Step
from turnwright.learner.batch import Batch, BatchSettings, WeightedRow, build_batch
from turnwright.learner.objective import LossSettings, policy_loss
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.passes import Passes
from turnwright.models.forward import TokenScores

log = logging.getLogger(__name__)
MISMATCH_FACTOR = 5.0
"""A gap this many times the warning threshold is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """Names and meaning as in [algorithm] and [learner]."""

    batch: BatchSettings
    loss: LossSettings = field(default_factory=LossSettings)
    sampler_gap_warn: float = 1e-5
    """Mean |log p - log q| of the first update above which something is wrong."""
    sampler_kl_warn: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """What one update reports per trained token, over all its passes; tensors are [T]."""

    loss: float
    gap: Tensor
    """|log p - log q|"""
    kl: Tensor
    ratio: Tensor
    clipped: Tensor
    entropy: Tensor
    num_passes: int


def take_step(
    passes: Passes, optimizer: Optimizer, groups: Sequence[TrainableGroup], settings: StepSettings, *, step: int
) -> Step:
    """Train on one batch of groups that the current weights sampled.

    Raises:
        SamplerMismatchError: Engine and learner disagree on the first update; the weights are unchanged.
        TrainingError: A reward is not finite, the weights are unchanged; or a gradient is not, the weights are those
            of the last finite update.
    """
    batch = build_batch(groups, settings.batch)
    if settings.loss.loss_fn == "gspo":
        _require_one_row_each(batch)
    metrics = _batch_metrics(batch) | _domain_metrics(groups, settings.batch)
    reports: list[_Tokens] = []
    grad_norms: list[float] = []
    learning_rate = optimizer.learning_rate()
    for number, rows in enumerate(batch.updates):
        report = _accumulate(passes, rows, settings)
        if number == 0:
            _require_same_policy(report, settings, optimizer)
        grad_norm = optimizer.step()
        reports.append(report)
        grad_norms.append(grad_norm)
    metrics["training/learning_rate"] = learning_rate
    metrics["training/num_updates"] = float(len(reports))
    if reports:
        metrics |= _training_metrics(reports, grad_norms)
    return Step(step=step, num_updates=len(reports), metrics=metrics)


def _require_one_row_each(batch: Batch) -> None:
    """A sequence ratio is that of a row: of an attempt that was cut there would be several."""
    keys = Counter(entry.row.key for rows in batch.updates for entry in rows)
    key, count = next(iter(keys.most_common(1)), (None, 1))
    if count > 1:
        raise TrainingError(
            f"loss_fn = 'gspo' needs one row per attempt, and episode {str(key)!r} was cut into {count}: its history "
            "changed on the way (training/turns_fork counts that); use loss_fn = 'ppo', or keep the history"
        )


def _accumulate(passes: Passes, weighted: Sequence[WeightedRow], settings: StepSettings) -> _Tokens:
    """Run the passes of one update and leave the gradient in the parameters."""
    device = passes.policy.device
    parts: list[tuple[Tensor, ...]] = []

    def loss(members: Sequence[int], scores: TokenScores) -> Tensor:
        chosen = [weighted[index] for index in members]
        counts = torch.tensor([entry.row.num_trained_tokens for entry in chosen], device=device)
        sampled = [q for entry in chosen for q, on in zip(entry.row.logprobs, entry.row.trained, strict=True) if on]
        sampled_T = torch.tensor(sampled, device=device)
        advantages_T = torch.tensor([value for entry in chosen for value in entry.advantages], device=device)
        weights_T = torch.tensor([entry.weight for entry in chosen], device=device).repeat_interleave(counts)
        result = policy_loss(scores.logprobs, sampled_T, advantages_T, weights_T, counts, settings.loss)
        logprobs_T = scores.logprobs.detach()
        gap_T = (logprobs_T - sampled_T).abs()
        total = result.loss.detach()[None]
        kl_T = k3(logprobs_T, sampled_T)
        parts.append((total, gap_T, kl_T, result.ratio_T, result.clipped_T.float(), scores.entropy))
        return result.loss

    report = passes.accumulate([entry.row for entry in weighted], [entry.group for entry in weighted], loss)
    total, gap, kl, ratio, clipped, entropy = (torch.cat(part) for part in zip(*parts, strict=True))
    return _Tokens(
        loss=total.sum().item(),
        gap=gap,
        kl=kl,
        ratio=ratio,
        clipped=clipped,
        entropy=entropy,
        num_passes=report.num_passes,
    )


def _require_same_policy(report: _Tokens, settings: StepSettings, optimizer: Optimizer) -> None:
    gap, kl = report.gap.mean().item(), report.kl.mean().item()
    excess = max(gap / settings.sampler_gap_warn, kl / settings.sampler_kl_warn)
    if not math.isfinite(gap + kl):
        excess = math.inf
    if excess <= 1:
        return
    message = (
        f"sampler_mismatch: engine and learner differ on tokens of the same weights by {gap:.2g} in the mean and "
        f"{report.gap.max().item():.2g} at worst (expected at most {settings.sampler_gap_warn:g}), KL {kl:.2g}. "
        "Usual causes: another chat template or temperature than recorded, weights not published, reduced precision"
    )
    if excess > MISMATCH_FACTOR:
        optimizer.discard()
        raise SamplerMismatchError(message)
    log.warning(message)


def _batch_metrics(batch: Batch) -> dict[str, float]:
    metrics = {
        "training/num_groups": float(batch.num_groups),
        "training/num_trajectories": float(batch.num_attempts),
        "analysis/live_groups": float(batch.num_live_groups),
        "analysis/batch_valid_ratio": batch.num_live_groups / max(1, batch.num_groups),
        "analysis/zero_adv_groups": float(batch.zero_adv_nonzero_reward + batch.zero_adv_zero_reward),
        "analysis/zero_adv_nonzero_reward": float(batch.zero_adv_nonzero_reward),
        "analysis/zero_adv_zero_reward": float(batch.zero_adv_zero_reward),
        "analysis/small_groups": float(batch.num_small_groups),
    }
    if batch.advantages:
        values = torch.tensor(batch.advantages)
        metrics |= {
            "rollout/advantage/mean": values.mean().item(),
            "rollout/advantage/std": values.std(correction=0).item(),
            "rollout/advantage/min": values.min().item(),
            "rollout/advantage/max": values.max().item(),
            "rollout/advantage/n_positive": float((values > 0).sum()),
            "rollout/advantage/n_negative": float((values < 0).sum()),
        }
    return metrics


def _domain_metrics(groups: Sequence[TrainableGroup], settings: BatchSettings) -> dict[str, float]:
    """Return, below ``<domain>/``, what the rewards of each domain of a mixture say about its own groups."""
    metrics: dict[str, float] = {}
    for domain in sorted({group.domain for group in groups if group.domain is not None}):
        own = _batch_metrics(build_batch([group for group in groups if group.domain == domain], settings))
        metrics |= {f"{domain}/{name}": value for name, value in own.items() if not name.startswith("training/")}
    return metrics


def _training_metrics(reports: Sequence[_Tokens], grad_norms: Sequence[float]) -> dict[str, float]:
    first = reports[0]
    ratio = torch.cat([report.ratio for report in reports])
    return {
        "training/loss": sum(report.loss for report in reports) / len(reports),
        "training/grad_norm": sum(grad_norms) / len(grad_norms),
        "training/entropy": first.entropy.mean().item(),
        "training/clip_fraction": torch.cat([report.clipped for report in reports]).mean().item(),
        "training/kl_to_sampler": torch.cat([report.kl for report in reports]).mean().item(),
        "training/ratio/mean": ratio.mean().item(),
        "training/ratio/min": ratio.min().item(),
        "training/ratio/max": ratio.max().item(),
        "training/ratio/ess": (ratio.sum() ** 2 / (ratio**2).sum() / len(ratio)).item(),
        "training/on_policy_ratio_mean": first.ratio.mean().item(),
        "training/on_policy_kl": first.kl.mean().item(),
        "training/sampler_logprob_gap/mean": first.gap.mean().item(),
        "training/sampler_logprob_gap/max": first.gap.max().item(),
        "training/trained_tokens": float(sum(len(report.ratio) for report in reports)),
        "training/num_passes": float(sum(report.num_passes for report in reports)),
    }
