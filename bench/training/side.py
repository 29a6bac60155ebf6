"""Our side of bench/train.py: one way to lay rows out, timed over whole training steps."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from turnwright.core.group import TrainableGroup
from turnwright.learner.batch import BatchSettings
from turnwright.learner.credit import AdvantageSettings
from turnwright.learner.optimizer import Optimizer, OptimizerSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings, take_step
from turnwright.models.load import Policy
from turnwright.models.paths import resolve_model_path

MODEL = {
    "vocab_size": 4000,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "intermediate_size": 768,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
"""5.8M parameters."""
OPTIMIZER = OptimizerSettings(learning_rate=1e-6, num_updates=1, beta2=0.999, grad_clip_norm=1e6)
"""Small steps, and clipping that looks at the norm and never acts: gradients of both sides can be compared."""
GROUPED = StepSettings(batch=BatchSettings(), sampler_gap_warn=10.0, sampler_kl_warn=10.0)
"""The noise in the recorded log-probabilities is meant."""
ALONE = StepSettings(
    batch=BatchSettings(advantages=AdvantageSettings(method="monte_carlo")), sampler_gap_warn=10.0, sampler_kl_warn=10.0
)
"""For attempts without a group."""


class Side:
    """Steps on the same rows again and again, with one layout."""

    def __init__(
        self,
        policy: Policy,
        groups: Sequence[TrainableGroup],
        settings: StepSettings,
        *,
        layout: Literal["auto", "tree", "dense"] = "auto",
        budget: int = PassSettings().tokens_per_microbatch,
    ) -> None:
        """Take the rows and how they are laid out; ``budget`` is in tokens per pass."""
        self.passes = Passes(policy, PassSettings(layout=layout, tokens_per_microbatch=budget))
        self.optimizer = Optimizer(policy.model, OPTIMIZER)
        self.groups = groups
        self.settings = settings

    def step(self) -> float:
        """Take a step - advantages, passes, clipping, AdamW - and return its seconds."""
        started = time.perf_counter()
        take_step(self.passes, self.optimizer, self.groups, self.settings, step=1)
        return time.perf_counter() - started

    def gradient(self) -> tuple[float, dict[str, Tensor]]:
        """Return the loss and the gradient of a step that leaves the weights as they are."""
        kept = Kept(self.passes.policy)
        step = take_step(self.passes, kept, self.groups, self.settings, step=1)
        return step.metrics["training/loss"], kept.gradient


class Kept(Optimizer):
    """Keeps the gradient instead of using it."""

    def __init__(self, policy: Policy) -> None:
        """Keep nothing yet."""
        super().__init__(policy.model, OPTIMIZER)
        self.gradient: dict[str, Tensor] = {}
        self._model = policy.model

    def step(self) -> float:
        """Keep the gradient and clear it."""
        named = self._model.named_parameters()
        self.gradient = {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}
        self.discard()
        return 0.0


def save_model(folder: Path) -> Path:
    """Write a model of random weights, and a tokenizer, which only the peer asks for."""
    Qwen3ForCausalLM(Qwen3Config(**MODEL)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve_model_path("tiny")).save_pretrained(folder)
    return folder


def relative_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Return the largest relative difference of any parameter's gradient, in the L2 norm.

    Raises ValueError when the two have other parameters.
    """
    if ours.keys() != theirs.keys():
        raise ValueError(f"gradients of other parameters: {sorted(ours.keys() ^ theirs.keys())[:5]}")
    return max(((ours[name] - theirs[name]).norm() / theirs[name].norm()).item() for name in ours)
