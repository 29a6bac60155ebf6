"""Sections that shape what is learned: run, model, algorithm, sampling, optimizer, schedule."""

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from turnwright.config.section import Section

AdvantageMethod = Literal[
    "monte_carlo",
    "group_based",
    "group_based_per_turn",
    "rloo",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "opo",
    "grpo_passk",
    "gpg",
]
PasskForm = Literal["subset", "analytic", "max_minus_second"]
LossName = Literal["importance_sampling", "ppo", "cispo", "gspo"]
CLIP_THRESHOLDS: Mapping[LossName, tuple[float, float]] = {
    "importance_sampling": (0.0, math.inf),
    "ppo": (0.8, 1.2),
    "cispo": (0.0, 6.0),
    "gspo": (1 - 3e-4, 1 + 4e-4),
}
"""Bounds of the ratio that each loss was published with; importance_sampling has none."""


class Run(Section):
    """[run]: the run itself."""

    name: str | None = Field(default=None, min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Folder of the run below ``output_dir``; a readable one is made up when unset."""
    output_dir: str = Field(default="runs", min_length=1)
    """Folder that holds the runs."""
    seed: int = Field(default=1, ge=0)
    """Key of every random stream of the run."""
    deterministic: bool = False
    """Same seed, same bits: the engine decodes in rounds whose composition does not depend on the clock."""


class Model(Section):
    """[model]: the policy to start from."""

    path: str = Field(default="tiny", min_length=1)
    """"tiny" = the shipped policy; otherwise a folder in Hugging Face format or a hub id."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of weights and activations; losses and log-probabilities are float32 in any case."""


class Algorithm(Section):
    """[algorithm]: advantages and loss; formulas and papers are in the modules of ``algorithms/``."""

    advantage_method: AdvantageMethod = "group_based"
    """How rewards become advantages; group_based is GRPO's reward minus the group's mean."""
    advantage_normalization: bool = True
    """Divide advantages of group_based and group_based_per_turn by the group's standard deviation."""
    gamma: float = Field(default=1.0, ge=0, le=1)
    """Discount per turn of monte_carlo and group_based_per_turn."""
    advantage_k: int | None = Field(default=None, ge=2)
    """Attempts of which grpo_passk counts the best; unset = half of ``group_size``, at least 2."""
    advantage_k_form: PasskForm = "subset"
    """Form of grpo_passk: any rewards; standardised, for rewards 0 and 1; or only the best of the whole group."""
    loss_fn: LossName = "ppo"
    """Policy loss."""
    clip_low_threshold: float | None = Field(default=None, ge=0, le=1)
    """Lower bound of the ratio, absolute; unset = the loss's own: ppo 0.8, cispo 0, gspo 0.9997."""
    clip_high_threshold: float | None = Field(default=None, ge=1, le=10)
    """Upper bound of the ratio, absolute; unset = the loss's own: ppo 1.2, cispo 6, gspo 1.0004."""
    literal_thresholds: bool = False
    """Take clip_low_threshold = 1 literally with cispo, which raises every ratio below 1 to 1."""
    dual_clip: float | None = Field(default=None, gt=1)
    """Ratio above which ppo stops pushing down a token of negative advantage; unset = none, 3 in the paper."""
    group_size: int = Field(default=8, ge=2)
    """Attempts at one task that share a baseline."""
    global_batch_size: int = Field(default=16, ge=1)
    """Groups (tasks) that one step consumes."""
    updates_per_step: int = Field(default=1, ge=1)
    """Optimizer updates into which a step's groups are split, whole groups each."""
    truncated: Literal["reward", "mask", "zero"] = "reward"
    """Episodes cut by a limit: train with the reward as given, leave out of loss and baseline, or reward 0."""
    aggregation: Literal["token", "rollout"] = "token"
    """Weight of a loss term: equal per sampled token, or mean over an attempt's tokens and then over attempts."""
    normalise: Literal["all", "live"] = "all"
    """Sampled tokens that the loss divides by: of all groups, or only of those whose rewards differ."""

    @property
    def clip_thresholds(self) -> tuple[float, float]:
        """Lower and upper bound of the ratio, those of the loss where they are not set."""
        low, high = CLIP_THRESHOLDS[self.loss_fn]
        return (
            low if self.clip_low_threshold is None else self.clip_low_threshold,
            high if self.clip_high_threshold is None else self.clip_high_threshold,
        )

    @property
    def best_of(self) -> int:
        """Attempts of which grpo_passk counts the best."""
        return self.advantage_k or max(2, self.group_size // 2)


class Sampling(Section):
    """[sampling]: how training episodes are sampled."""

    temperature: float = Field(default=1.0, gt=0, le=2)
    """Softmax temperature; greedy turns cannot be trained."""
    sampling_top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus mass; below 1 the learner renormalises over the recorded kept set."""
    sampling_max_tokens: int = Field(default=1024, ge=1)
    """Token cap of one reply."""
    max_turns: int | None = Field(default=None, ge=1)
    """Turn limit of an episode; unset = the environment's."""
    max_sequence_length: int | None = Field(default=None, ge=2)
    """Most ids a prompt and its reply may have together; unset = the model's."""


class Optimizer(Section):
    """[optimizer]: AdamW."""

    learning_rate: float = Field(default=1e-5, gt=0, le=1)
    """Peak learning rate."""
    lr_schedule: Literal["constant", "linear"] = "constant"
    """After warm-up: keep the rate, or let it fall linearly to 0 at ``schedule.max_steps``."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate rises linearly from 0."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of gradients."""
    adam_beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the mean of squared gradients."""
    adam_eps: float = Field(default=1e-8, gt=0, le=1)
    """Added to the root of the mean square."""
    adam_weight_decay: float = Field(default=0.0, ge=0, le=1)
    """Decoupled weight decay."""
    adam_grad_clip_norm: float = Field(default=1.0, ge=0)
    """Largest L2 norm of all gradients together; 0 = no clipping."""


class Schedule(Section):
    """[schedule]: when the run ends, validates and saves. The first limit reached ends it."""

    max_steps: int = Field(default=50, ge=1)
    """Steps of the run."""
    max_epochs: int | None = Field(default=1, ge=1)
    """Passes over the training tasks; "none" = unlimited."""
    val_every: int = Field(default=10, ge=0)
    """Steps between validations, besides those at step 0 and at the end; 0 = none at all."""
    save_every: int = Field(default=10, ge=0)
    """Steps between checkpoints; 0 = only the last step's."""
