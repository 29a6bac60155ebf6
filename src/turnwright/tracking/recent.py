"""Recent: what the last steps of a run say, in numbers. Pure: the records of metrics.jsonl in, nothing read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnwright.core.timeline import time_shares
from turnwright.tracking.lines import pooled_reward, work_of

RECENT_STEPS = 10
"""Steps behind every number that is not of one step."""
JUDGES = ("val/score/success", "val/reward/mean")
"""What a validation is judged by: the first that there is."""

Metrics = Mapping[str, float]
"""One record of metrics.jsonl; numbers that were not finite are nan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What the validation of a step said."""

    step: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """The last steps in numbers; None = not measured (yet)."""

    step: int
    """The last one that was reported; 0 = none was trained."""
    seconds_per_step: float | None
    reward: float | None
    """Mean over the last steps."""
    reward_half_width: float | None
    """Half of its 95 % interval, with the group as the unit."""
    judge: str | None
    """Name of the metric in ``validations``."""
    validations: tuple[Validation, ...]
    """All of the run."""
    tokens_per_second: Mapping[str, float]
    """Of "generation" and "training", while they were computed."""
    time_shares: Mapping[str, float]
    """Part of the wall time per state."""
    overlap: float | None
    """Part of the wall time in which engine and learner computed at once."""
    staleness_mean: float | None
    staleness_max: float | None
    """Of the tokens that were trained, in steps."""
    wasted_fraction: float | None
    """Finished tokens that were not trained because they had grown too old."""
    in_flight: float | None
    """Episodes, at the end of the last step."""
    concurrency: float | None
    """Episodes that may be in flight."""
    ready_groups: float | None
    """Groups that wait to be trained."""
    failed_fraction: float | None
    """Share of the last step's attempts that failed for good."""


def summarise_steps(metrics: Sequence[Metrics]) -> Recent:
    """Return what the last of some records say, given in order of steps."""
    steps = [{name: value for name, value in values.items() if math.isfinite(value)} for values in metrics]
    trained = [values for values in steps if values["step"] > 0]
    recent = trained[-RECENT_STEPS:]
    last: Metrics = trained[-1] if trained else {}
    judge, validations = _validations(steps)
    pooled = pooled_reward(recent)
    return Recent(
        step=int(last.get("step", 0)),
        seconds_per_step=_mean(recent, "timing_s/step"),
        reward=pooled[0] if pooled else _mean(recent, "rollout/reward/mean"),
        reward_half_width=pooled[1] if pooled else None,
        judge=judge,
        validations=validations,
        tokens_per_second=_rates(recent),
        time_shares=_shares(recent),
        overlap=_overlap(recent),
        staleness_mean=_mean(recent, "training/staleness/mean"),
        staleness_max=max(_values(recent, "training/staleness/max"), default=None),
        wasted_fraction=last.get("rollout/wasted_frac"),
        in_flight=last.get("rollout/in_flight"),
        concurrency=last.get("rollout/concurrency"),
        ready_groups=last.get("rollout/ready_groups"),
        failed_fraction=last.get("rollout/outcome/failed_frac"),
    )


def _validations(steps: Sequence[Metrics]) -> tuple[str | None, tuple[Validation, ...]]:
    for judge in JUDGES:
        found = tuple(Validation(step=int(values["step"]), value=values[judge]) for values in steps if judge in values)
        if found:
            return judge, found
    return None, ()


def _rates(steps: Sequence[Metrics]) -> dict[str, float]:
    tokens: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for values in steps:
        for name, (count, taken) in work_of(values).items():
            tokens[name] = tokens.get(name, 0.0) + count
            seconds[name] = seconds.get(name, 0.0) + taken
    return {name: count / seconds[name] for name, count in tokens.items()}


def _shares(steps: Sequence[Metrics]) -> dict[str, float]:
    """Return the states' parts of all steps together."""
    whole = sum(_values(steps, "timing_s/step"))
    shares: dict[str, float] = {}
    for values in steps:
        for state, share in time_shares(values).items():
            shares[state] = shares.get(state, 0.0) + share * values["timing_s/step"] / whole
    return shares


def _overlap(steps: Sequence[Metrics]) -> float | None:
    measured = [values for values in steps if "busy_s/overlap" in values]
    whole = sum(_values(measured, "timing_s/step"))
    return sum(_values(measured, "busy_s/overlap")) / whole if whole > 0 else None


def _values(steps: Sequence[Metrics], name: str) -> list[float]:
    return [values[name] for values in steps if name in values]


def _mean(steps: Sequence[Metrics], name: str) -> float | None:
    found = _values(steps, name)
    return sum(found) / len(found) if found else None
