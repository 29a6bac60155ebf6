"""Sampling: what a request asks for and what the run allows, made into what a reply is sampled with."""

from dataclasses import dataclass
from typing import Literal

from turnwright.gateway.calls import AskedSampling, UsedSampling
from turnwright.gateway.refusals import Refusal

SamplingRule = Literal["run", "request"]
"""Whose temperature and top-p count: the run's, or those of each request where it has any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingLimits:
    """How each reply of a trajectory is sampled."""

    temperature: float = 1.0
    """0 = greedy; such turns are never trained."""
    top_p: float = 1.0
    max_tokens: int
    """Most ids of one reply; lowered to what the sequence limit leaves."""


def settle_sampling(asked: AskedSampling, limits: SamplingLimits, *, rule: SamplingRule, trained: bool) -> UsedSampling:
    """Return what a reply is sampled with; the request may always shorten it, stop it early and seed it.

    Args:
        asked: What the request says; what it does not mention is the run's.
        limits: The run's temperature and top-p, and the most tokens of a reply.
        rule: Whose temperature and top-p count.
        trained: The reply may be trained, so it must be sampled and not decoded greedily.

    Raises:
        Refusal: The request's temperature counts and is 0 in training.
    """
    temperature, top_p = limits.temperature, limits.top_p
    if rule == "request":
        temperature = temperature if asked.temperature is None else asked.temperature
        top_p = top_p if asked.top_p is None else asked.top_p
    if trained and temperature == 0 and limits.temperature > 0:
        raise Refusal(
            "validation",
            "temperature must be above 0 in training: got 0, and greedy replies can never be trained; leave it out to "
            f"sample at the run's {limits.temperature:g}, or set gateway.sampling = 'run'",
            field="temperature",
            reason="greedy",
        )
    return UsedSampling(
        temperature=temperature,
        top_p=top_p,
        max_tokens=limits.max_tokens if asked.max_tokens is None else min(asked.max_tokens, limits.max_tokens),
        stop=asked.stop,
        seed=asked.seed,
    )
