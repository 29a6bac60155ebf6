"""Tokens: all that is known of trained tokens before the pass that trains them.

    batch --score once--> anchors of the step --of the rows of a pass--> PassTokens --> objective

Legend: _T = trained tokens of one pass, row after row; _S = its rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from turnwright.algorithms.corrections import interpolated_proximal
from turnwright.algorithms.divergence import log_ratio_to_reference
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import TrainingError
from turnwright.learner.batch import Batch, WeightedRow
from turnwright.learner.credit import ByRow
from turnwright.learner.exclusive import UNDISTURBED, Exclusive
from turnwright.learner.passes import Passes
from turnwright.learner.reference import Reference

ProximalName = Literal["sampler", "recomputed", "interpolated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """What is known of a step's tokens that stays what it is through all of its updates."""

    version: int
    """Of the policy that the step starts from."""
    interpolated: bool = False
    """Whether log prox lies between log q and log p, which only the pass that trains a token says."""
    proximal: ByRow = field(default_factory=dict[EpisodeKey, list[Tensor]])
    """log prox: under the policy as the step begins; empty where it is not asked."""
    reference: ByRow = field(default_factory=dict[EpisodeKey, list[Tensor]])
    """log ref; empty without a divergence."""

    def known(self, entry: WeightedRow, device: torch.device) -> Tensor:
        """Return what is known of log p before a row is trained, [t]: as the step begins, or log q in its place."""
        if self.proximal:
            return self.proximal[entry.row.key][entry.number]
        return torch.tensor(sampled_logprobs(entry), device=device)

    def divergence(self, batch: Batch, device: torch.device) -> ByRow:
        """Return log p - log ref of each trained token, with log p as it is known before the step."""
        return _by_row(
            batch,
            [
                log_ratio_to_reference(self.known(entry, device), self.reference[entry.row.key][entry.number])
                for entry in _entries(batch)
            ],
        )

    def staleness(self, entry: WeightedRow) -> list[int]:
        """Return d of a row's trained tokens: versions from the one that sampled it to the one the step starts from."""
        row = entry.row
        return [self.version - version for version, on in zip(row.policy_versions, row.trained, strict=True) if on]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTokens:
    """The trained tokens of one pass."""

    sampled_T: Tensor
    """log q"""
    old_T: Tensor
    """What ratios are formed with: log prox, or log q again."""
    staleness_T: Tensor
    """d, integer."""
    reference_T: Tensor | None
    """log ref; None without a divergence."""
    advantages_T: Tensor
    weights_T: Tensor
    """Weight c in the policy loss."""
    term_weights_T: Tensor
    """Weight in the terms of divergence and entropy."""
    lengths_S: Tensor
    """Trained tokens of each row."""


def find_anchors(
    passes: Passes,
    reference: Reference | None,
    batch: Batch,
    *,
    version: int,
    proximal: ProximalName,
    kl: bool,
    exclusive: Exclusive = UNDISTURBED,
) -> Anchors:
    """Score the rows of a step under the policies that stay what they are through its updates.

    Args:
        passes: Over the policy in training, which has made no update of the step yet.
        reference: Asked where ``kl`` is set.
        batch: Of the step.
        version: Of the policy that the step starts from.
        proximal: With "recomputed" the policy in training is asked.
        kl: Score under the reference.
        exclusive: For a reference that shares the policy's tensors.

    Raises:
        TrainingError: A divergence is asked for and there is no reference.
    """
    if kl and reference is None:
        raise TrainingError("kl_coefficient > 0 needs a reference to measure from: got None; give take_step one")
    entries = _entries(batch)
    rows, groups = [entry.row for entry in entries], [entry.group for entry in entries]
    return Anchors(
        version=version,
        interpolated=proximal == "interpolated",
        proximal=_by_row(batch, passes.score(rows, groups)) if proximal == "recomputed" and rows else {},
        reference=_by_row(batch, reference.score(rows, groups, exclusive)) if kl and reference and rows else {},
    )


def pass_tokens(entries: Sequence[WeightedRow], anchors: Anchors, logprobs_T: Tensor) -> PassTokens:
    """Return the tokens of the rows of one pass.

    Args:
        entries: The rows.
        anchors: Of the step.
        logprobs_T: log p in this pass.
    """
    device = logprobs_T.device
    lengths_S = torch.tensor([len(entry.advantages) for entry in entries], device=device)
    sampled_T = torch.tensor([value for entry in entries for value in sampled_logprobs(entry)], device=device)
    staleness_T = torch.tensor([value for entry in entries for value in anchors.staleness(entry)], device=device)
    old_T, reference_T = sampled_T, None
    if anchors.interpolated:
        old_T = interpolated_proximal(logprobs_T, sampled_T, staleness_T)
    elif anchors.proximal:
        old_T = torch.cat([anchors.known(entry, device) for entry in entries])
    if anchors.reference:
        reference_T = torch.cat([anchors.reference[entry.row.key][entry.number] for entry in entries])

    def per_token(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=device).repeat_interleave(lengths_S)

    return PassTokens(
        sampled_T=sampled_T,
        old_T=old_T,
        staleness_T=staleness_T,
        reference_T=reference_T,
        advantages_T=torch.tensor([value for entry in entries for value in entry.advantages], device=device),
        weights_T=per_token([entry.weight for entry in entries]),
        term_weights_T=per_token([entry.term_weight for entry in entries]),
        lengths_S=lengths_S,
    )


def sampled_logprobs(entry: WeightedRow) -> list[float]:
    """Return log q of a row's trained tokens."""
    return [value for value, on in zip(entry.row.logprobs, entry.row.trained, strict=True) if on]


def _entries(batch: Batch) -> list[WeightedRow]:
    return [entry for rows in batch.updates for entry in rows]


def _by_row(batch: Batch, values: Sequence[Tensor]) -> Mapping[EpisodeKey, Sequence[Tensor]]:
    found: dict[EpisodeKey, list[Tensor]] = {}
    for entry, value in zip(_entries(batch), values, strict=True):
        found.setdefault(entry.row.key, []).append(value)
    return found
