"""Training behind slow tools: the demo's recipe and policy, runs as child processes, and what their metrics say."""

import math
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from turnwright import TurnwrightError, api
from turnwright.api.process import child_environment, command_line
from turnwright.rundir.reader import RunReader

RECIPE = Path(__file__).parents[2] / "examples" / "returns_desk" / "run.toml"
COMMON = (
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
"""What corrects for stale tokens."""


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


def base_policy(folder: Path) -> Path:
    """Return the policy that all runs start from, warm-started as the demo's; make it where it is missing."""
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        api.warmstart(RECIPE, unfinished)
        unfinished.rename(folder)
    return folder


def train(run: Path, settings: Sequence[str], *, threads: int) -> None:
    """Train in a process of its own; what was left at ``run`` makes room. Raises TurnwrightError when it fails."""
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    log = run.with_name(f"{run.name}.log")
    own = (f"run.output_dir={run.parent}", f"run.name={run.name}")
    with log.open("wb") as output:
        done = subprocess.run(
            command_line(["train", str(RECIPE), *COMMON, *settings, *own]),
            env={**child_environment(), "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise TurnwrightError(f"training ended with exit code {done.returncode}: {last} (see {log})")


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
