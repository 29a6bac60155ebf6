"""AdamW with warm-up and clipping: settings in, one optimizer step at a time."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from turnwright.core.errors import TrainingError


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """Names and meaning as in the [optimizer] section."""

    learning_rate: float
    num_updates: int
    """Updates the schedule spans."""
    warmup_updates: int = 0
    lr_schedule: str = "constant"
    """"constant" or "linear" (to 0 at the last update)."""
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.0
    grad_clip_norm: float = 1.0
    """Global norm above which gradients are scaled down; 0 = off."""


class Optimizer:
    """AdamW (arXiv:1711.05101) over all parameters of a model."""

    def __init__(self, model: nn.Module, settings: OptimizerSettings) -> None:
        """Optimize every parameter of ``model`` that requires a gradient."""
        self.settings = settings
        self.num_done = 0
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._adamw = torch.optim.AdamW(
            self._parameters,
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def learning_rate(self) -> float:
        """Return the rate of the next update."""
        settings = self.settings
        rate = settings.learning_rate
        if self.num_done < settings.warmup_updates:
            return rate * (self.num_done + 1) / settings.warmup_updates
        if settings.lr_schedule == "linear":
            left = settings.num_updates - self.num_done
            return rate * max(0.0, left / max(1, settings.num_updates - settings.warmup_updates))
        return rate

    def step(self) -> float:
        """Apply the accumulated gradients and clear them; return their norm before clipping.

        Raises TrainingError, without touching a weight, when the norm is not finite.
        """
        limit = self.settings.grad_clip_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, limit).item()
        if not math.isfinite(norm):
            self.discard()
            raise TrainingError(
                f"the gradient of update {self.num_done + 1} is not finite (norm {norm}): the weights are unchanged; "
                "lower the learning rate, or look for rewards of extreme size"
            )
        for group in self._adamw.param_groups:
            group["lr"] = self.learning_rate()
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        self.num_done += 1
        return norm

    def discard(self) -> None:
        """Drop accumulated gradients."""
        self._adamw.zero_grad(set_to_none=True)

    def state(self) -> dict[str, object]:
        """Return what an exact continuation needs."""
        return {"adamw": self._adamw.state_dict(), "num_done": self.num_done}

    def restore(self, state: dict[str, object]) -> None:
        """Continue from ``state``."""
        self._adamw.load_state_dict(state["adamw"])  # pyright: ignore[reportArgumentType]
        self.num_done = int(state["num_done"])  # pyright: ignore[reportArgumentType]
