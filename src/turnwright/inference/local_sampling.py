"""Sampling for a batch of rows, with randomness keyed by request and position instead of by batch.

Uniforms come from SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 2014) at
state = key + position * golden ratio; a token is drawn by inverting the cumulative distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

GOLDEN_RATIO_64 = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One sampled token per row."""

    token_ids: list[int]
    logprobs: list[float]
    kept_logmass: list[float]
    """Log mass of the top-p set; 0.0 where top_p = 1."""


def uniforms(keys: Sequence[int], positions: Sequence[int]) -> np.ndarray:
    """Return one double in [0, 1) per (key, position)."""
    with np.errstate(over="ignore"):
        state = np.asarray(keys, np.uint64) + (np.asarray(positions, np.uint64) + np.uint64(1)) * GOLDEN_RATIO_64
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw_tokens(logits: Tensor, temperatures: Sequence[float], top_ps: Sequence[float], random: np.ndarray) -> Draw:
    """Draw one token per row from fp32 logits [B, V]; temperature 0 takes the most likely one."""
    scale = torch.tensor([temperature or 1.0 for temperature in temperatures], device=logits.device)
    logprobs = (logits / scale[:, None]).log_softmax(-1)
    kept = torch.zeros(len(temperatures))
    if any(top_p < 1.0 for top_p in top_ps):
        logprobs, kept = _keep_top_p(logprobs, torch.tensor(top_ps, device=logits.device))
    cumulative = logprobs.double().exp().cumsum(-1)
    threshold = torch.from_numpy(random).to(logits.device)[:, None] * cumulative[:, -1:]
    # Counting entries at or below the threshold never lands on a token of probability 0.
    chosen = (cumulative <= threshold).sum(-1).clamp(max=logits.shape[-1] - 1)
    if 0.0 in temperatures:
        greedy = torch.tensor([temperature == 0.0 for temperature in temperatures], device=logits.device)
        chosen = torch.where(greedy, logits.argmax(-1), chosen)
    picked = logprobs.gather(1, chosen[:, None])[:, 0]
    return Draw(token_ids=chosen.tolist(), logprobs=picked.tolist(), kept_logmass=kept.tolist())


def _keep_top_p(logprobs: Tensor, top_p: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the smallest set of most likely tokens whose mass reaches top_p; renormalise; return the log mass kept."""
    ordered, order = logprobs.sort(-1, descending=True)
    mass_before = ordered.exp().cumsum(-1) - ordered.exp()
    keep = torch.zeros_like(logprobs, dtype=torch.bool).scatter(1, order, mass_before < top_p[:, None])
    # Rounding must not cut the tail of a row that keeps everything.
    keep |= top_p[:, None] >= 1.0
    masked = logprobs.masked_fill(~keep, float("-inf"))
    logmass = torch.where(top_p >= 1.0, 0.0, masked.logsumexp(-1))
    return masked - logmass[:, None], logmass
