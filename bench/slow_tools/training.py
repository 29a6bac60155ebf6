"""Training behind slow tools: what is set over the demo's recipe, and what the metrics of a run say."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from turnwright.rundir.reader import RunReader

SLOW_TOOLS = (
    "environment.name=slow_tools.environment:SlowReturnsDesk",
    "algorithm.group_size=8",
    "algorithm.global_batch_size=8",
    # As many as a bound of 8 lets in, on all sides: who waits for a tool needs no core.
    "rollout.rollout_max_concurrency=576",
    "inference.kv_memory_mb=512",
    # One call of half a million takes longer.
    "rollout.tool_timeout=120",
    "schedule.val_every=0",
    "schedule.save_every=0",
)
"""Over the recipe, on all sides."""
CORRECTED = ('algorithm.proximal="recomputed"', "algorithm.truncated_importance_cap=2")
"""What corrects for stale tokens: the default, where rollouts run ahead."""
PLAIN = ('algorithm.proximal="sampler"',)
"""What does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the time of a run went, and what became of its tokens."""

    steps: int
    seconds: float
    """Of all steps, without saving the last one's checkpoint."""
    states: Mapping[str, float]
    """Seconds by state, each moment once; they add up to ``seconds``."""
    busy_generation: float
    """Seconds in which the engine computed, whatever else did."""
    busy_training: float
    staleness_mean: float
    """Over trained tokens, in updates."""
    staleness_max: float
    wasted: float
    """Share of the finished tokens that were given up as too old, 0..1."""
    reward: float
    """Mean over the last quarter of the steps."""

    @property
    def steps_per_minute(self) -> float:
        """Speed."""
        return 60 * self.steps / self.seconds


def account(run: Path) -> Account:
    """Return what the metrics of a finished run say."""
    steps = [step for step in RunReader(run).metrics() if step["step"] > 0]

    def total(name: str) -> float:
        return math.fsum(step.get(name, 0.0) for step in steps)

    trained = [step for step in steps if step.get("training/trained_tokens")]
    tokens = math.fsum(step["training/trained_tokens"] for step in trained)
    names = ("generation", "tools", "waiting", "training", "weight_update", "other")
    return Account(
        steps=len(steps),
        seconds=total("timing_s/step") - total("timing_s/save_checkpoint"),
        states={name: total(f"timing_s/{name}") for name in names},
        busy_generation=total("busy_s/generation"),
        busy_training=total("busy_s/training"),
        staleness_mean=math.fsum(
            step.get("training/staleness/mean", 0.0) * step["training/trained_tokens"] for step in trained
        )
        / max(1.0, tokens),
        staleness_max=max((step.get("training/staleness/max", 0.0) for step in trained), default=0.0),
        wasted=steps[-1].get("rollout/wasted_frac", 0.0),
        reward=fmean(step["rollout/reward/mean"] for step in steps[-max(1, len(steps) // 4) :]),
    )


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
