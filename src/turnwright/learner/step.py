"""Step: one global batch of groups in, ``updates_per_step`` optimizer updates, metrics out.

    groups --> rows to compute --score once--> proximal policy, reference --> advantages and weights
                                                     each update:  passes --> guards --> optimizer

Step t starts from version t - 1. A token that this version sampled is fresh, one that an older one did is stale, by as
many versions as lie between; more than ``max_staleness`` raises before anything is computed.

The sampler's log-probabilities, or those of the proximal policy, stay the old policy's through all updates of the step.
In the first update fresh tokens are on-policy, so the learner must find the sampler's numbers again; when it does not,
training would be quietly wrong and the step raises before it changes a weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from turnwright.core.errors import TurnwrightError
from turnwright.core.group import TrainableGroup
from turnwright.core.update import Step
from turnwright.learner.batch import Batch, BatchSettings, WeightedRow, build_batch
from turnwright.learner.credit import ByRow
from turnwright.learner.exclusive import UNDISTURBED, Exclusive
from turnwright.learner.guards import (
    require_logprobs,
    require_one_row_each,
    require_recorded,
    require_same_policy,
    require_trainable,
    require_versions,
)
from turnwright.learner.measures import Measures, join, measure, staleness_metrics, training_metrics
from turnwright.learner.objective import LossSettings, objective
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.passes import Passes, PassReport
from turnwright.learner.reference import Reference
from turnwright.learner.tokens import Anchors, ProximalName, find_anchors, pass_tokens
from turnwright.models.forward import TokenScores


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """Names and meaning as in [algorithm], [async_config] and [learner]."""

    batch: BatchSettings
    loss: LossSettings = field(default_factory=LossSettings)
    proximal: ProximalName = "sampler"
    max_staleness: int = 0
    """Versions that may lie between the one that sampled a token and the one that the step starts from."""
    sampler_gap_warn: float = 1e-5
    """Mean |log p - log q| of fresh tokens in the first update above which something is wrong."""
    sampler_kl_warn: float = 1e-3

    @property
    def penalises_reward(self) -> bool:
        """Whether the divergence to the reference is a part of the reward."""
        return bool(self.batch.advantages.kl_coefficient)


def take_step(
    passes: Passes,
    optimizer: Optimizer,
    groups: Sequence[TrainableGroup],
    settings: StepSettings,
    *,
    step: int,
    reference: Reference | None = None,
    exclusive: Exclusive = UNDISTURBED,
) -> Step:
    """Train on one batch of groups that the current weights sampled, or some not too long before them.

    Args:
        passes: Over the policy in training.
        optimizer: Of its weights.
        groups: Survivors and their rewards.
        settings: What is made of them.
        step: Number of the step, from 1; it starts from version ``step - 1``.
        reference: What the divergence is measured from; None where it has no coefficient.
        exclusive: Told before the first weight is written; asked to be alone with a policy without its adapters.

    Raises:
        StalenessError: A token is staler than allowed; the weights are unchanged.
        SamplerMismatchError: Engine and learner disagree on the first update; the weights are unchanged.
        TrainingError: A reward, log-probability or version cannot be trained with, the weights are unchanged; or a
            gradient is not finite, the weights are those of the last finite update.
    """
    require_trainable(groups)
    require_logprobs(groups)
    require_versions(groups, start=step - 1, max_staleness=settings.max_staleness)
    compute_all = settings.loss.has_terms or settings.penalises_reward
    batch = build_batch(groups, settings.batch, compute_all=compute_all)
    for name, value, single in (("loss_fn", settings.loss.loss_fn, "gspo"),
                                ("aggregation", settings.batch.aggregation, "sequence")):  # fmt: skip
        if value == single:
            require_one_row_each(batch, f"{name} = {value!r}")
    anchors = find_anchors(
        passes,
        reference,
        batch,
        version=step - 1,
        proximal=settings.proximal,
        kl=settings.penalises_reward or settings.loss.kl_coefficient > 0,
        exclusive=exclusive,
    )
    divergence = None
    if settings.penalises_reward and batch.updates:
        # Which rows are scored does not depend on the divergence; what they are worth, if anything, does.
        divergence = anchors.divergence(batch, passes.policy.device)
        batch = build_batch(groups, settings.batch, compute_all=settings.loss.has_terms, divergence=divergence)
    metrics = _batch_metrics(batch) | _domain_metrics(groups, settings.batch, divergence)
    metrics["training/learning_rate"] = optimizer.learning_rate()
    metrics["training/num_updates"] = float(len(batch.updates))
    if batch.updates:
        metrics |= _update(passes, optimizer, batch, anchors, settings, exclusive)
    return Step(step=step, num_updates=len(batch.updates), metrics=metrics)


def _update(
    passes: Passes, optimizer: Optimizer, batch: Batch, anchors: Anchors, settings: StepSettings, exclusive: Exclusive
) -> dict[str, float]:
    """Make the updates of a step and return what they report."""
    measures: list[Measures] = []
    reports: list[PassReport] = []
    grad_norms: list[float] = []
    for rows in batch.updates:
        try:
            report, found = _accumulate(passes, rows, anchors, settings)
            if not measures:
                require_same_policy(found, gap_warn=settings.sampler_gap_warn, kl_warn=settings.sampler_kl_warn)
        except TurnwrightError:
            optimizer.discard()
            raise
        exclusive.until_published()
        grad_norms.append(optimizer.step())
        measures.append(found)
        reports.append(report)
    return {
        **training_metrics(measures, settings.loss),
        **staleness_metrics(measures, max_staleness=settings.max_staleness),
        "training/grad_norm": sum(grad_norms) / len(grad_norms),
        **_pass_metrics(reports),
    }


def _pass_metrics(reports: Sequence[PassReport]) -> dict[str, float]:
    num_tokens = sum(report.num_tokens for report in reports)
    return {
        "training/num_passes": float(sum(report.num_passes for report in reports)),
        "training/tree_token_ratio": num_tokens / sum(report.num_row_tokens for report in reports),
        "training/max_tokens_held": float(max(report.max_tokens_held for report in reports)),
        "training/trees_declined": float(sum(report.num_declined for report in reports)),
        "training/tree_fallbacks": float(max(report.num_fallbacks for report in reports)),
        "training/oom_splits": float(sum(report.num_splits for report in reports)),
    }


def _accumulate(
    passes: Passes, entries: Sequence[WeightedRow], anchors: Anchors, settings: StepSettings
) -> tuple[PassReport, Measures]:
    """Run the passes of one update and leave the gradient in the parameters."""
    parts: list[Measures] = []

    def loss(members: Sequence[int], scores: TokenScores) -> Tensor:
        chosen = [entries[index] for index in members]
        logprobs_T = scores.logprobs.detach()
        tokens = pass_tokens(chosen, anchors, logprobs_T)
        require_recorded(chosen, tokens, logprobs_T)
        result = objective(scores, tokens, settings.loss)
        parts.append(measure(scores, tokens, result, settings.loss))
        return result.total

    report = passes.accumulate(
        [entry.row for entry in entries],
        [entry.group for entry in entries],
        loss,
        parts.clear,
        entropy_gradient=bool(settings.loss.entropy_coefficient),
    )
    return report, join(parts)


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


def _domain_metrics(
    groups: Sequence[TrainableGroup], settings: BatchSettings, divergence: ByRow | None
) -> dict[str, float]:
    """Return, below ``<domain>/``, what the rewards of each domain of a mixture say about its own groups."""
    metrics: dict[str, float] = {}
    for domain in sorted({group.domain for group in groups if group.domain is not None}):
        members = [group for group in groups if group.domain == domain]
        own = _batch_metrics(build_batch(members, settings, divergence=divergence))
        metrics |= {f"{domain}/{name}": value for name, value in own.items() if not name.startswith("training/")}
    return metrics
