"""Sections outside reinforcement learning: validation during it, evaluation after it, warm start before it."""

from typing import Annotated, Literal

from pydantic import Field

from turnwright.config.section import Section


class Validation(Section):
    """[validation]: episodes on validation tasks while the run trains."""

    val_temperature: float = Field(default=0.0, ge=0, le=2)
    """Softmax temperature; 0 = greedy."""
    val_group_size: int = Field(default=1, ge=1)
    """Attempts per task."""
    val_tasks: int | None = Field(default=None, ge=1)
    """Validation tasks used, from the first; unset = all."""
    pass_k_values: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 2, 4, 8), strict=False)
    """k of the pass@k that are reported; those above the number of attempts are left out."""
    success_threshold: float = 1.0
    """Reward from which an episode counts as solved in pass@k."""


class Evaluation(Section):
    """[evaluation]: the independent evaluator."""

    scorer: str | None = Field(default=None, min_length=1)
    """Name such as "final_output", or ``module:Class``; never the environment's reward."""
    split: Literal["train", "validation", "test"] = "test"
    """Tasks that are scored."""
    tasks: int | None = Field(default=None, ge=1)
    """Tasks used, from the first; unset = all."""
    attempts: int = Field(default=8, ge=1)
    """Sampled attempts per task."""
    temperature: float = Field(default=1.0, gt=0, le=2)
    """Softmax temperature of the sampled attempts."""
    greedy: bool = True
    """Add one greedy attempt per task, reported apart."""
    resamples: int = Field(default=10_000, ge=100)
    """Bootstrap resamples behind the intervals."""
    allow_reward_as_scorer: bool = False
    """Let the environment's reward stand in for a scorer; the report shows it."""


class Warmstart(Section):
    """[warmstart]: supervised learning on demonstrations, to a foothold."""

    demonstrator: str = Field(default="oracle", min_length=1)
    """Who demonstrates: "oracle" = the environment's, otherwise ``module:function``."""
    num_demonstrations: int | None = Field(default=None, ge=1)
    """Demonstrations used; unset = one per training task."""
    from_scratch: bool = False
    """Start from random weights of the model's architecture."""
    steps: int = Field(default=200, ge=1)
    """Optimizer updates."""
    batch_size: int = Field(default=32, ge=1)
    """Demonstrations per update."""
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    """Peak learning rate."""
    warmup_steps: int = Field(default=20, ge=0)
    """Updates over which the rate rises linearly from 0."""
    adam_beta2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the mean of squared gradients."""
    answer_weight: float = Field(default=5.0, gt=0)
    """Loss weight of the final reply's tokens; all other sampled tokens weigh 1."""
    eval_every: int = Field(default=0, ge=0)
    """Updates between measurements of the foothold; 0 = only at the end."""
    min_foothold: float | None = Field(default=None, gt=0, le=1)
    """Success that must be reached, and at which the warm start ends early; unset = use all steps."""
