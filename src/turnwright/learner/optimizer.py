"""AdamW with warm-up and clipping: settings in, one optimizer step at a time.

    gradients (float32) --clip--> AdamW on float32 weights --round--> the model's own weights

Where the model's weights are float32 they are AdamW's own. Below that (bfloat16) AdamW works on float32 copies: a usual
update is smaller than the distance from one bfloat16 number to the next, and would be lost each time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from turnwright.core.errors import TrainingError

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Where torch has AdamW as one kernel; elsewhere it runs operation by operation over all tensors together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """Names and meaning as in the [optimizer] section."""

    learning_rate: float
    num_updates: int
    """Updates the schedule spans."""
    warmup_updates: int = 0
    lr_schedule: str = "constant"
    """"constant", "linear" or "cosine"; the last two fall to 0 at the last update."""
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.0
    """Of matrices, adapters included; gains and biases do not decay."""
    grad_clip_norm: float = 1.0
    """Global norm above which gradients are scaled down; 0 = off."""


class Optimizer:
    """AdamW (arXiv:1711.05101) over all parameters of a model that require a gradient."""

    def __init__(self, model: nn.Module, settings: OptimizerSettings) -> None:
        """Optimize every parameter of ``model`` that requires a gradient."""
        self.settings = settings
        self.num_done = 0
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._weights = [_float32_copy(parameter) for parameter in self._parameters]
        decaying = [weight for weight in self._weights if weight.ndim >= 2]
        others = [weight for weight in self._weights if weight.ndim < 2]
        groups = [(decaying, settings.weight_decay), (others, 0.0)]
        fused = all(weight.device.type in FUSED_DEVICES for weight in self._weights)
        self._adamw = torch.optim.AdamW(
            [{"params": weights, "weight_decay": decay} for weights, decay in groups if weights],
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            fused=fused,
            foreach=not fused,
        )

    def learning_rate(self) -> float:
        """Return the rate of the next update.

        With u updates done, w of warm-up and n in all: rate x (u + 1) / w while u < w; then rate x s, where
        s = 1 (constant), (n - u) / (n - w) (linear) or (1 + cos(pi (u - w) / (n - w))) / 2 (cosine, arXiv:1608.03983
        without restarts), and 0 from u = n on.
        """
        settings = self.settings
        rate, warmup = settings.learning_rate, settings.warmup_updates
        if self.num_done < warmup:
            return rate * (self.num_done + 1) / warmup
        if settings.lr_schedule == "constant":
            return rate
        left = max(0.0, (settings.num_updates - self.num_done) / max(1, settings.num_updates - warmup))
        return rate * (left if settings.lr_schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)

    @torch.no_grad()
    def step(self) -> float:
        """Apply the accumulated gradients and clear them; return their norm before clipping.

        Raises:
            TrainingError: The norm is not finite, no weight was touched; or no weight that had a gradient moved.
        """
        limit = self.settings.grad_clip_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, limit).item()
        if not math.isfinite(norm):
            self.discard()
            raise TrainingError(
                f"the gradient of update {self.num_done + 1} is not finite (norm {norm}): the weights are unchanged; "
                "lower the learning rate, or look for rewards of extreme size"
            )
        rate = self.learning_rate()
        for group in self._adamw.param_groups:
            group["lr"] = rate
        for parameter, weight in self._copied():
            weight.grad = parameter.grad
        watched = _most_driven(self._weights)
        before = _values(watched)
        self._adamw.step()
        for parameter, weight in self._copied():
            parameter.copy_(weight)
        moved = not torch.equal(_values(watched), before)
        self.discard()
        self.num_done += 1
        if rate and norm and not moved:
            raise TrainingError(
                f"update {self.num_done} had a gradient (norm {norm:.2g}) and moved no weight: at a learning rate of "
                f"{rate:.2g} every change is lost in rounding; raise optimizer.learning_rate, or lower "
                "optimizer.adam_eps where gradients are as small as it"
            )
        return norm

    def discard(self) -> None:
        """Drop accumulated gradients."""
        for tensor in (*self._parameters, *self._weights):
            tensor.grad = None

    def state(self) -> dict[str, Any]:
        """Return what an exact continuation needs."""
        copies = [weight.detach() for _, weight in self._copied()]
        state = {"adamw": self._adamw.state_dict(), "num_done": self.num_done}
        return state | {"shapes": self._shapes(), "copies": copies}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``.

        Raises ValueError when it belongs to other parameters.
        """
        if state["shapes"] != self._shapes():
            raise ValueError(f"it has {_count(state['shapes'])}, the policy trains {_count(self._shapes())}")
        self._adamw.load_state_dict(state["adamw"])
        self.num_done = int(state["num_done"])
        for (_, weight), saved in zip(self._copied(), state["copies"], strict=True):
            weight.copy_(saved)

    def _shapes(self) -> list[list[int]]:
        return [list(parameter.shape) for parameter in self._parameters]

    def _copied(self) -> list[tuple[Tensor, Tensor]]:
        """Return the parameters that AdamW knows by a copy, with it."""
        return [pair for pair in zip(self._parameters, self._weights, strict=True) if pair[0] is not pair[1]]


def _count(shapes: Sequence[Sequence[int]]) -> str:
    return f"{sum(map(math.prod, shapes)):,} numbers in {len(shapes)} tensors"


def _float32_copy(parameter: nn.Parameter) -> Tensor:
    """Return what AdamW works on: the parameter itself, or its copy where it is coarser than float32."""
    if torch.finfo(parameter.dtype).bits >= 32:
        return parameter
    # Micro-batches add up in the gradient: in bfloat16 the later, smaller ones would be lost.
    parameter.grad_dtype = torch.float32
    return parameter.detach().float()


def _most_driven(weights: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return each tensor that has a gradient, with the numbers of its elements of largest and smallest gradient."""
    found = [(weight, weight.grad) for weight in weights if weight.grad is not None]
    return [(weight, torch.stack([gradient.argmax(), gradient.argmin()])) for weight, gradient in found]


def _values(watched: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.cat([weight.take(places) for weight, places in watched]) if watched else torch.empty(0)
