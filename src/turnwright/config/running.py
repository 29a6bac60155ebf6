"""Sections that shape how a run works: rollout, async_config, inference, learner, tracking."""

from typing import Literal

from pydantic import Field

from turnwright.config.section import Section


class Rollout(Section):
    """[rollout]: how episodes are run."""

    rollout_max_concurrency: int = Field(default=96, ge=1)
    """Episodes in flight at once."""
    rollout_min_concurrency: int | None = Field(default=None, ge=1)
    """Episodes in flight that the run begins with: from there to ``rollout_max_concurrency`` the limit follows the
    engine's queue; unset = always the most."""
    rollout_timeout: float = Field(default=600.0, gt=0)
    """Seconds an episode may take."""
    rollout_max_retries: int = Field(default=3, ge=0)
    """New attempts at an episode that failed for reasons other than the policy."""
    rollout_launches_per_second: float | None = Field(default=None, gt=0)
    """Rollouts that an agent outside this process is asked to start per second; unset = no limit."""
    tool_timeout: float = Field(default=30.0, gt=0)
    """Seconds a tool call may take; a longer one fails the episode."""
    fill_rounds: int = Field(default=0, ge=0)
    """Further rounds in which new groups are collected in place of those without signal, until
    ``algorithm.global_batch_size`` groups have some; 0 = a step trains on what has."""
    max_failed_fraction: float = Field(default=0.2, ge=0, le=1)
    """Share of a step's attempts that may fail for good; above it the run pauses."""
    max_pause_seconds: float = Field(default=600.0, ge=0)
    """How long a run with too many failures waits for a rollout to succeed again before it stops; 0 = it stops at
    once."""


class AsyncConfig(Section):
    """[async_config]: how far rollouts may run ahead of training."""

    max_steps_off_policy: int = Field(default=0, ge=0, le=64)
    """Updates of weights that may lie between sampling a token and training it; 0 = synchronous."""
    straggler_wait_seconds: float = Field(default=60.0, ge=0)
    """How long a step that is otherwise ready waits for groups that would grow too old, before they are given up."""


class Inference(Section):
    """[inference]: the in-process engine."""

    kv_memory_mb: int = Field(default=512, ge=1)
    """Budget of the key-value cache in MiB; slots follow from it."""
    max_queue: int = Field(default=4096, ge=1)
    """Requests that may wait for a slot."""
    num_threads: int | None = Field(default=None, ge=1)
    """Cores for the engine; unset = all, or half of them where the learner computes at the same time."""
    placement: Literal["shared", "process"] = "shared"
    """Where the engine lives: shared = in this process, over the learner's own weights; process = in one of its own,
    with weights of its own that each step publishes to it."""


class Learner(Section):
    """[learner]: memory, cores and the guard against a sampler that disagrees."""

    tokens_per_microbatch: int = Field(default=8192, ge=1)
    """Most tokens whose activations a forward and backward pass holds; a token that rows share counts once. A longer
    row still runs, alone."""
    layout: Literal["auto", "tree", "dense"] = "auto"
    """How rows run: tree = a token that several rows share behind the same prefix once; dense = each row on its own;
    auto = whichever costs less for the rows at hand."""
    logits_memory_mb: int = Field(default=256, ge=1)
    """Logits held at once, in MiB; more are computed chunk by chunk, and again in the backward pass."""
    num_threads: int | None = Field(default=None, ge=1)
    """Cores for the learner; unset = all, or half of them where the engine computes at the same time."""
    sampler_gap_warn: float = Field(default=1e-5, gt=0)
    """Mean |log p - log q| at a first on-policy update above which the run warns; five times as much stops it."""
    sampler_kl_warn: float = Field(default=1e-3, gt=0)
    """KL (k3) of policy and sampler, with the same two thresholds."""


class Tracking(Section):
    """[tracking]: views of the run directory."""

    mlflow: bool = False
    """Mirror metrics and traces to MLflow."""
    mlflow_uri: str | None = Field(default=None, min_length=1)
    """Tracking server; unset = an SQLite file in the run directory."""
    mlflow_experiment: str = Field(default="turnwright", min_length=1)
    """Experiment the run appears under."""
    traces_per_step: int = Field(default=8, ge=0)
    """Training episodes traced per step; validation episodes are all traced."""
