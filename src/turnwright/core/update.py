"""Update: what one step of the learner reports back."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Result of one step: ``updates_per_step`` optimizer updates, one published policy version."""

    step: int
    """Number of the step, from 1; also the policy version it publishes."""
    num_updates: int
    metrics: Mapping[str, float]
    """Names as in docs/metrics: ``training/*`` and ``rollout/advantage/*``."""
