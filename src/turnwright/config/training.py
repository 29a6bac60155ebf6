"""Sections that shape what is learned: run, model, sampling, optimizer, schedule; algorithm has its own file."""

from typing import Literal, Self

from pydantic import Field, model_validator

from turnwright.config.section import Section


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
    watchdog_seconds: float = Field(default=300.0, gt=0)
    """Seconds without progress after which the run says what it waits for."""


class Model(Section):
    """[model]: the policy to start from."""

    path: str = Field(default="tiny", min_length=1)
    """"tiny" = the shipped policy; otherwise a folder in Hugging Face format or a hub id."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of weights and activations; losses and log-probabilities are float32 in any case."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of the adapters that are trained instead of the weights (LoRA, arXiv:2106.09685); 0 = all weights."""
    lora_alpha: float | None = Field(default=None, gt=0)
    """Scale of the adapters, alpha / rank; unset = twice ``lora_rank``."""
    lora_targets: list[str] = Field(default_factory=list)
    """Modules that get an adapter, by the end of their names as "q_proj"; empty = all linear layers but the head."""

    @model_validator(mode="after")
    def _check_lora(self) -> Self:
        if self.lora_rank:
            return self
        for name in ("lora_alpha", "lora_targets"):
            if getattr(self, name):
                raise ValueError(
                    f"model.{name} = {getattr(self, name)!r} has no effect with model.lora_rank = 0, which trains all "
                    "weights; set model.lora_rank or remove it"
                )
        return self

    @property
    def adapter_alpha(self) -> float:
        """Scale of the adapters."""
        return 2.0 * self.lora_rank if self.lora_alpha is None else self.lora_alpha


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
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """After warm-up: keep the rate, or let it fall to 0 at ``schedule.max_steps``, linearly or by half a cosine."""
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
    keep_last: int | None = Field(default=None, ge=1)
    """Newest checkpoints to keep; unset = all."""
    keep_best: int | None = Field(default=None, ge=0)
    """Best validated checkpoints that stay besides the ``keep_last`` newest; unset = one."""
