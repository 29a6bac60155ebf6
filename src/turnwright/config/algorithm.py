"""[algorithm]: how rewards become a gradient."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

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
KlForm = Literal["k1", "k2", "k3", "grpo_k3"]
Proximal = Literal["sampler", "recomputed", "interpolated"]
PLACE = re.compile(r"[^:\s]+:[A-Za-z_]\w*")
"""``package.module:function`` or ``path/file.py:function``."""
CLIP_THRESHOLDS: Mapping[str, tuple[float, float]] = {
    "importance_sampling": (0.0, math.inf),
    "ppo": (0.8, 1.2),
    "cispo": (0.0, 6.0),
    "gspo": (1 - 3e-4, 1 + 4e-4),
}
"""Bounds of the ratio that each loss was published with; importance_sampling and losses of your own have none."""

USUAL_CAP = 2.0
"""Largest weight proximal / sampler of a run that runs ahead and sets nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What makes up for tokens that older weights sampled; names as in [algorithm]."""

    proximal: Proximal
    truncated_importance_cap: float | None
    importance_band: tuple[float, float] | None


def _advantage_known(value: str) -> str:
    return _require_known(value, get_args(AdvantageMethod))


def _loss_known(value: str) -> str:
    return _require_known(value, get_args(LossName))


def _require_known(value: str, known: tuple[str, ...]) -> str:
    if value in known or PLACE.fullmatch(value):
        return value
    names = ", ".join(map(repr, known))
    raise ValueError(f"{names}, or a function of your own as 'package.module:name' or 'file.py:name'")


class Algorithm(Section):
    """[algorithm]: advantages and loss; formulas and papers are in the modules of ``algorithms/``."""

    advantage_method: Annotated[AdvantageMethod | str, AfterValidator(_advantage_known)] = "group_based"
    """How rewards become advantages; group_based is GRPO's reward minus the group's mean.
    ``package.module:function`` or ``file.py:function`` is one of your own."""
    advantage_normalization: bool = True
    """Divide advantages of group_based and group_based_per_turn by the group's standard deviation."""
    gamma: float = Field(default=1.0, ge=0, le=1)
    """Discount per turn of monte_carlo and group_based_per_turn."""
    advantage_k: int | None = Field(default=None, ge=2)
    """Attempts of which grpo_passk counts the best; unset = half of ``group_size``, at least 2."""
    advantage_k_form: PasskForm = "subset"
    """Form of grpo_passk: any rewards; standardised, for rewards 0 and 1; or only the best of the whole group."""
    loss_fn: Annotated[LossName | str, AfterValidator(_loss_known)] = "ppo"
    """Policy loss; ``package.module:function`` or ``file.py:function`` is one of your own."""
    clip_low_threshold: float | None = Field(default=None, ge=0, le=1)
    """Lower bound of the ratio, absolute; unset = the loss's own: ppo 0.8, cispo 0, gspo 0.9997."""
    clip_high_threshold: float | None = Field(default=None, ge=1, le=10)
    """Upper bound of the ratio, absolute; unset = the loss's own: ppo 1.2, cispo 6, gspo 1.0004."""
    literal_thresholds: bool = False
    """Take clip_low_threshold = 1 literally with cispo, which raises every ratio below 1 to 1."""
    dual_clip: float | None = Field(default=None, gt=1)
    """Ratio above which ppo stops pushing down a token of negative advantage; unset = none, 3 in the paper."""
    kl_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the KL divergence to the reference, the policy the run began with: with new adapters the model without
    them, otherwise a second copy in memory; 0 = none."""
    kl_placement: Literal["loss", "reward"] = "loss"
    """Where the divergence counts: as a term of the loss, or taken off the reward token by token."""
    kl_form: KlForm | None = None
    """Estimate of the divergence; unset = k2 in the loss and k1 in the reward, which have the right gradient."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the bonus for the entropy of the policy at sampled tokens; 0 = none."""
    proximal: Proximal | None = None
    """Policy the ratio is formed with: the one that sampled; that of the learner as the step begins (decoupled); or
    between both, the closer to the learner's the staler the token, without a pass of its own. Unset = sampler in a
    synchronous run; recomputed, with weights up to 2, where rollouts run ahead."""
    truncated_importance_cap: float | None = Field(default=None, gt=0)
    """Largest weight proximal / sampler of a token, with a proximal policy of its own; unset = no such weight, where
    ``proximal`` is set."""
    importance_band: tuple[float, float] | None = Field(default=None, strict=False)
    """Weights proximal / sampler that count; tokens outside are left out (IcePop has 0.5 and 5); unset = none."""
    group_size: int = Field(default=8, ge=2)
    """Attempts at one task that share a baseline."""
    global_batch_size: int = Field(default=16, ge=1)
    """Groups (tasks) that one step consumes."""
    updates_per_step: int = Field(default=1, ge=1)
    """Optimizer updates into which a step's groups are split, whole groups each."""
    truncated: Literal["reward", "mask", "zero"] = "reward"
    """Episodes cut by a limit: train with the reward as given, leave out of loss and baseline, or reward 0."""
    max_repeated_tokens: int | None = Field(default=None, ge=2)
    """Attempts in which one n-gram repeats over more sampled tokens in a row are left out; unset = none is."""
    max_ngram_size: int = Field(default=30, ge=1)
    """Longest n-gram that max_repeated_tokens looks for."""
    max_filter_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of a step's attempts that max_repeated_tokens may leave out; above it the run stops."""
    aggregation: Literal["token", "rollout", "sequence", "constant"] = "token"
    """Weight of a loss term: equal per sampled token; mean over an attempt's tokens, then over attempts (rollout;
    sequence is the same and refuses attempts of several rows); or the sum over ``aggregation_tokens`` (constant)."""
    aggregation_tokens: int | None = Field(default=None, ge=1)
    """With aggregation = "constant": tokens by which the sum over an attempt is divided, whatever its length."""
    normalise: Literal["all", "live"] = "all"
    """Sampled tokens that the loss divides by: of all groups, or only of those whose rewards differ."""

    @property
    def clip_thresholds(self) -> tuple[float, float]:
        """Lower and upper bound of the ratio, those of the loss where they are not set."""
        low, high = CLIP_THRESHOLDS.get(self.loss_fn, (0.0, math.inf))
        return (
            low if self.clip_low_threshold is None else self.clip_low_threshold,
            high if self.clip_high_threshold is None else self.clip_high_threshold,
        )

    @property
    def divergence_form(self) -> KlForm:
        """Estimate of the divergence to the reference."""
        return self.kl_form or ("k2" if self.kl_placement == "loss" else "k1")

    def correction(self, *, max_steps_off_policy: int) -> Correction:
        """Return how a run corrects whose rollouts may be so many updates ahead."""
        proximal, cap = self.proximal, self.truncated_importance_cap
        if proximal is None and max_steps_off_policy:
            proximal = "recomputed"
            cap = USUAL_CAP if cap is None and self.importance_band is None else cap
        return Correction(
            proximal=proximal or "sampler", truncated_importance_cap=cap, importance_band=self.importance_band
        )

    @property
    def best_of(self) -> int:
        """Attempts of which grpo_passk counts the best."""
        return self.advantage_k or max(2, self.group_size // 2)
