"""Intervals and pass rates. The task is the unit of every interval: attempts at one task are not independent.

numpy is imported inside the functions, so that the names here load with a base install.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, isclose, sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

RESAMPLES = 10_000
"""Bootstrap resamples; the percentiles of two runs with other seeds then differ by about 1 % of the interval."""

CHUNK_ELEMENTS = 4_000_000
"""Random indices held at once while resampling, about 32 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its 95 % interval.

    Example: 8 of 10 tasks solved::

        Interval(value=0.8, low=0.490, high=0.943, method="wilson")
    """

    value: float
    low: float
    high: float
    method: str
    """"wilson", "cluster_bootstrap", "stratified_bootstrap", "paired_bootstrap", or "wilson_over_tasks" (see
    ``share_interval``)."""


def wilson_interval(successes: int, n: int, *, method: str = "wilson") -> Interval:
    """Return the Wilson score interval of a share: one independent attempt per task.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), Wilson 1927.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"wilson_interval needs 0 <= successes <= n and n >= 1: got successes={successes}, n={n}")
    share = successes / n
    scale = 1 + Z_95**2 / n
    center = (share + Z_95**2 / (2 * n)) / scale
    half = Z_95 * sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2)) / scale
    # At 0 and n the bound equals the share; rounding must not leave it a hair inside.
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == n else center + half
    return Interval(value=share, low=low, high=high, method=method)


def cluster_bootstrap(
    values_by_task: Mapping[str, Sequence[float]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the mean over tasks of each task's mean, with a percentile interval from resampling whole tasks.

    Tasks without a value are left out. Efron and Tibshirani 1993, chapter 13.

    Raises:
        ValueError: no task has a value.
    """
    import numpy as np

    means = np.array([sum(values) / len(values) for values in values_by_task.values() if values], dtype=np.float64)
    if means.size == 0:
        raise ValueError("cluster_bootstrap needs at least one task with a value: got none")
    low, high = _percentiles(means, resamples=resamples, seed=seed)
    return Interval(value=float(means.mean()), low=low, high=high, method="cluster_bootstrap")


def share_interval(
    values_by_task: Mapping[str, Sequence[float]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return ``cluster_bootstrap`` of values in 0..1, or Wilson over tasks when every value is 0 or every value is 1.

    Resampling identical values gives an interval of width 0, which would claim certainty from any number of tasks.
    """
    interval = cluster_bootstrap(values_by_task, resamples=resamples, seed=seed)
    if interval.low == interval.high and interval.value in (0.0, 1.0):
        num_tasks = sum(1 for values in values_by_task.values() if values)
        return wilson_interval(round(interval.value) * num_tasks, num_tasks, method="wilson_over_tasks")
    return interval


def stratified_bootstrap(
    strata: Sequence[Mapping[str, Sequence[float]]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the mean over strata of the mean over their tasks, resampling whole tasks within each stratum.

    Every stratum counts the same, however many tasks it has. Efron and Tibshirani 1993, chapter 8.

    Args:
        strata: Values by task, for each stratum; tasks without a value are left out.
        resamples: Bootstrap resamples.
        seed: Their seed.

    Raises:
        ValueError: a stratum has no task with a value: a mean over the others would not speak for it.
    """
    import numpy as np

    means = [
        np.array([sum(values) / len(values) for values in tasks.values() if values], dtype=np.float64)
        for tasks in strata
    ]
    if not means or any(each.size == 0 for each in means):
        raise ValueError("stratified_bootstrap needs at least one task with a value in every stratum")
    drawn = [_resampled_means(each, resamples=resamples, seed=seed + index) for index, each in enumerate(means)]
    value = float(np.mean([each.mean() for each in means]))
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    if isclose(low, high, abs_tol=1e-12):
        low = high = value
    return Interval(value=value, low=float(low), high=float(high), method="stratified_bootstrap")


def share_over_strata(
    strata: Sequence[Mapping[str, Sequence[float]]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return ``stratified_bootstrap`` of values in 0..1, or Wilson when every value is 0 or every value is 1.

    A mean of k equal shares over n_1 ... n_k tasks has the variance of one share over k^2 / sum_i(1 / n_i) tasks: that
    is the n of Wilson's interval, rounded down.
    """
    interval = stratified_bootstrap(strata, resamples=resamples, seed=seed)
    if interval.low == interval.high and interval.value in (0.0, 1.0):
        sizes = [sum(1 for values in tasks.values() if values) for tasks in strata]
        num_tasks = max(1, int(len(sizes) ** 2 / sum(1 / size for size in sizes)))
        return wilson_interval(round(interval.value) * num_tasks, num_tasks, method="wilson_over_tasks")
    return interval


def paired_difference(
    base_by_task: Mapping[str, Sequence[float]],
    tuned_by_task: Mapping[str, Sequence[float]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return mean(tuned) - mean(base) over tasks, with a percentile interval from resampling pairs of the same task.

    Pairs with a side without values are left out.

    Raises:
        ValueError: the task sets differ, or no pair has values on both sides.
    """
    import numpy as np

    if base_by_task.keys() != tuned_by_task.keys():
        difference = sorted(base_by_task.keys() ^ tuned_by_task.keys())
        raise ValueError(
            f"paired_difference needs the same tasks on both sides: {len(difference)} differ, first {difference[0]!r}"
        )
    pairs = [(base, tuned_by_task[task]) for task, base in base_by_task.items() if base and tuned_by_task[task]]
    if not pairs:
        raise ValueError("paired_difference needs at least one task with values on both sides: got none")
    differences = np.array([sum(tuned) / len(tuned) - sum(base) / len(base) for base, tuned in pairs])
    low, high = _percentiles(differences, resamples=resamples, seed=seed)
    return Interval(value=float(differences.mean()), low=low, high=high, method="paired_bootstrap")


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of P(at least one of k attempts succeeds): 1 - C(n-c, k) / C(n, k).

    ``n`` attempts of which ``c`` succeeded; Chen et al. 2021, arXiv:2107.03374.
    """
    _check_counts(n, c, k)
    return 1.0 - comb(n - c, k) / comb(n, k)


def pass_power_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of P(all k attempts succeed): C(c, k) / C(n, k) (pass^k, arXiv:2406.12045)."""
    _check_counts(n, c, k)
    return comb(c, k) / comb(n, k)


def _check_counts(n: int, c: int, k: int) -> None:
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass rates need 0 <= c <= n and 1 <= k <= n: got n={n}, c={c}, k={k}")


def _percentiles(task_values: "NDArray[Any]", *, resamples: int, seed: int) -> tuple[float, float]:
    import numpy as np

    low, high = np.percentile(_resampled_means(task_values, resamples=resamples, seed=seed), [2.5, 97.5])
    # Equal values: the mean of a resample may differ in the last bit from the value itself.
    if isclose(low, high, abs_tol=1e-12):
        return float(task_values.mean()), float(task_values.mean())
    return float(low), float(high)


def _resampled_means(task_values: "NDArray[Any]", *, resamples: int, seed: int) -> "NDArray[Any]":
    import numpy as np

    num_tasks = task_values.size
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_ELEMENTS // num_tasks)
    means = np.empty(resamples, dtype=np.float64)
    for start in range(0, resamples, chunk):
        stop = min(start + chunk, resamples)
        drawn = generator.integers(0, num_tasks, size=(stop - start, num_tasks))
        means[start:stop] = task_values[drawn].mean(axis=1)
    return means
