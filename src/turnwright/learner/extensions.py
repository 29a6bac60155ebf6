"""Losses and advantages of your own, by place: ``package.module:function`` or ``path/file.py:function``.

    place --import--> function --tried on a small example--> CustomLoss, CustomAdvantage

The trial finds what would otherwise go wrong quietly: a loss that no gradient flows through, one that takes means of
its own so that micro-batches no longer add up, advantages that are all 0. What a function returns is checked again
each time it is called.

Legend: _T = trained tokens of one pass, _S = its rows, _G = attempts of one group that count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from turnwright.algorithms.policy_loss import PolicyLoss
from turnwright.config.place import functions_of, import_place, require_parameters
from turnwright.core.errors import ConfigError, TrainingError

LOSS_PARAMETERS = ("logprobs_T", "old_logprobs_T", "advantages_T", "weights_T", "lengths_S")
LOSS_OPTIONS = ("clip_low_threshold", "clip_high_threshold")
ADVANTAGE_PARAMETERS = ("rewards_G", "lengths_G")
ADDITIVE = 1e-4
"""Largest relative difference between the loss of a pass and the sum of its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomLoss:
    """A policy loss of one's own; the signature is that of ``algorithms.gspo.gspo_loss``."""

    place: str
    function: Callable[..., PolicyLoss]

    def __call__(
        self,
        logprobs_T: Tensor,
        old_logprobs_T: Tensor,
        advantages_T: Tensor,
        weights_T: Tensor,
        lengths_S: Tensor,
        *,
        clip_low_threshold: float,
        clip_high_threshold: float,
    ) -> PolicyLoss:
        """Return the loss of one pass.

        Raises TrainingError when the function fails, or does not return a loss with one ratio and one flag per token.
        """
        what = f"loss {self.place!r}"
        try:
            result = self.function(
                logprobs_T,
                old_logprobs_T,
                advantages_T,
                weights_T,
                lengths_S,
                clip_low_threshold=clip_low_threshold,
                clip_high_threshold=clip_high_threshold,
            )
        except Exception as error:  # the boundary that attributes what a user's function raises
            raise TrainingError(f"{what} raised {error!r} on {logprobs_T.numel()} tokens") from error
        if not isinstance(result, PolicyLoss):
            raise TrainingError(f"{what} must return turnwright.algorithms.policy_loss.PolicyLoss: got {result!r}")
        if result.loss.shape != ():
            raise TrainingError(
                f"{what} must return a scalar as PolicyLoss.loss: got shape {list(result.loss.shape)}; sum over tokens"
            )
        for name in ("ratio_T", "clipped_T"):
            _require_shape(f"PolicyLoss.{name} of {what}", getattr(result, name), logprobs_T)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomAdvantage:
    """An advantage of one's own: rewards [G] and sampled tokens [G] of a group in, one advantage per attempt out."""

    place: str
    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, rewards_G: Tensor, lengths_G: Tensor) -> Tensor:
        """Return the advantages of one group.

        Raises TrainingError when the function fails, or does not return one finite number per attempt.
        """
        what = f"advantage {self.place!r}"
        try:
            advantages_G = self.function(rewards_G, lengths_G)
        except Exception as error:  # the boundary that attributes what a user's function raises
            raise TrainingError(f"{what} raised {error!r} on the rewards {rewards_G.tolist()}") from error
        _require_shape(what, advantages_G, rewards_G)
        if not bool(advantages_G.isfinite().all()):
            raise TrainingError(
                f"{what} must return finite numbers: got {advantages_G.tolist()} for the rewards {rewards_G.tolist()}"
            )
        return advantages_G


def load_loss(place: str) -> CustomLoss:
    """Return the loss at a place, tried on five tokens of two rows.

    Raises ConfigError when there is none, it takes other parameters, or what it returns cannot be trained with.
    """
    what = f"algorithm.loss_fn = {place!r}"
    function = _load(place, what)
    require_parameters(function, what, *LOSS_PARAMETERS, options=LOSS_OPTIONS, error=ConfigError)
    loss = CustomLoss(place=place, function=function)
    try:
        _try_loss(loss)
    except TrainingError as error:
        raise ConfigError(f"algorithm.loss_fn: {error}") from error
    return loss


def load_advantage(place: str) -> CustomAdvantage:
    """Return the advantage at a place, tried on a group of four.

    Raises ConfigError when there is none, it takes other parameters, or what it returns cannot be trained with.
    """
    what = f"algorithm.advantage_method = {place!r}"
    function = _load(place, what)
    require_parameters(function, what, *ADVANTAGE_PARAMETERS, error=ConfigError)
    advantage = CustomAdvantage(place=place, function=function)
    rewards_G = torch.tensor([1.0, 0.0, 0.0, 0.25], dtype=torch.float64)
    try:
        advantages_G = advantage(rewards_G, torch.tensor([3, 1, 2, 4]))
    except TrainingError as error:
        raise ConfigError(f"algorithm.advantage_method: {error}") from error
    if not bool(advantages_G.any()):
        raise ConfigError(
            f"{what} gives every attempt 0 for the rewards {rewards_G.tolist()}: nothing "
            "could be learned; return what an attempt is better by than a baseline"
        )
    return advantage


def _load(place: str, what: str) -> Callable[..., Any]:
    module_place, _, name = place.rpartition(":")
    module = import_place(module_place, what, error=ConfigError)
    found = getattr(module, name, None)
    if not callable(found):
        raise ConfigError(f"{what}: {module_place} has no function {name!r}; it has: {functions_of(module)}")
    return found


def _require_shape(what: str, found: object, like: Tensor) -> None:
    if isinstance(found, Tensor) and found.shape == like.shape:
        return
    got = f"shape {list(found.shape)}" if isinstance(found, Tensor) else repr(found)
    raise TrainingError(f"{what} must be a tensor of shape {list(like.shape)}: got {got}")


def _try_loss(loss: CustomLoss) -> None:
    """Raise TrainingError unless the loss has a finite gradient, and that of two rows is the sum of both alone."""
    logprobs_T = torch.tensor([-0.5, -1.0, -0.3, -2.0, -0.7], requires_grad=True)
    whole = _loss_of(loss, logprobs_T, slice(0, 5), [2, 3])
    if not bool(whole.isfinite()):
        raise TrainingError(f"loss {loss.place!r} is {whole.item()} on a small example, expected a finite number")
    gradient_T = None
    if whole.requires_grad:
        (gradient_T,) = torch.autograd.grad(whole, logprobs_T, retain_graph=True, allow_unused=True)
    if gradient_T is None or not bool(gradient_T.any()):
        raise TrainingError(
            f"no gradient of loss {loss.place!r} reaches logprobs_T: compute with logprobs_T itself, not with a copy "
            "that is detached"
        )
    if not bool(gradient_T.isfinite().all()):
        raise TrainingError(f"the gradient of loss {loss.place!r} is not finite: got {gradient_T.tolist()}")
    parts = _loss_of(loss, logprobs_T, slice(0, 2), [2]) + _loss_of(loss, logprobs_T, slice(2, 5), [3])
    if not bool((parts - whole).abs() <= ADDITIVE * (1 + whole.abs())):
        raise TrainingError(
            f"loss {loss.place!r} of two rows is {whole.item():.6g}, and of each alone {parts.item():.6g} in all: "
            "micro-batches would not add up; weigh each token by weights_T and take the sum, not the mean"
        )


def _loss_of(loss: CustomLoss, logprobs_T: Tensor, part: slice, lengths: list[int]) -> Tensor:
    old_logprobs_T = torch.tensor([-0.6, -1.0, -0.4, -1.9, -0.65])
    advantages_T = torch.tensor([1.0, 1.0, -0.5, -0.5, -0.5])
    weights_T = torch.full((5,), 0.2)
    result = loss(
        logprobs_T[part],
        old_logprobs_T[part],
        advantages_T[part],
        weights_T[part],
        torch.tensor(lengths),
        clip_low_threshold=0.5,
        clip_high_threshold=2.0,
    )
    return result.loss
