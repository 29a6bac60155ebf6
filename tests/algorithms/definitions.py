"""Every advantage and loss once more: plain loops over numbers, written from the formula and not from the code.

R = rewards of a group, l = sampled tokens of its attempts, r = rewards per turn. Of a token: p, old, q, ref = log-
probabilities, A = advantage, c = weight. Where a formula stops a gradient, the definition takes the held value apart
(``held``), so that finite differences see what the formula lets through and nothing else.
"""

from collections.abc import Sequence
from itertools import combinations
from math import exp, inf, sqrt

Numbers = Sequence[float]
EPSILON = 1e-6


def mean(values: Numbers) -> float:
    return sum(values) / len(values)


def deviation(values: Numbers) -> float:
    """Sample standard deviation."""
    return sqrt(sum((value - mean(values)) ** 2 for value in values) / (len(values) - 1))


def group_based(R: Numbers, *, normalise: bool) -> list[float]:
    divisor = deviation(R) + EPSILON if normalise else 1.0
    return [(reward - mean(R)) / divisor for reward in R]


def rloo(R: Numbers) -> list[float]:
    return [R[i] - mean([R[j] for j in range(len(R)) if j != i]) for i in range(len(R))]


def opo(R: Numbers, l: Sequence[int]) -> list[float]:  # noqa: E741
    baseline = sum(l[j] * R[j] for j in range(len(R))) / sum(l)
    return [reward - baseline for reward in R]


def returns(r: Numbers, *, gamma: float) -> list[float]:
    return [sum(gamma ** (s - t) * r[s] for s in range(t, len(r))) for t in range(len(r))]


def group_based_per_turn(turns: Sequence[Numbers], *, gamma: float, normalise: bool) -> list[list[float]]:
    G = [returns(r, gamma=gamma) for r in turns]

    def advantage(i: int, t: int) -> float:
        there = [G[j][t] for j in range(len(G)) if len(G[j]) > t]
        if len(there) == 1:
            return advantage(i, 0)
        return (G[i][t] - mean(there)) / (deviation(there) + EPSILON if normalise else 1.0)

    return [[advantage(i, t) for t in range(len(G[i]))] for i in range(len(G))]


def over_the_step(values: Sequence[Numbers]) -> list[list[float]]:
    """REINFORCE++: each token's value less the mean and over the deviation of all tokens of the step."""
    tokens = [value for attempt in values for value in attempt]
    return [[(value - mean(tokens)) / (deviation(tokens) + EPSILON) for value in attempt] for attempt in values]


def penalised(reward: float, kl: Numbers, *, beta: float) -> list[float]:
    return [reward - beta * sum(kl[s] for s in range(t, len(kl))) for t in range(len(kl))]


def best_of(R: Numbers, k: int) -> list[float]:
    """Mean over the k-subsets that contain i of what i adds to their maximum."""
    found: list[float] = []
    for i in range(len(R)):
        gains = [
            max(R[j] for j in subset) - max(R[j] for j in subset if j != i)
            for subset in combinations(range(len(R)), k)
            if i in subset
        ]
        found.append(mean(gains))
    return found


def best_of_standardised(R: Numbers, k: int) -> list[float]:
    """Each k-subset earns its best reward; standardised over all of them; an attempt has the mean over its own."""
    subsets = list(combinations(range(len(R)), k))
    earned = [max(R[j] for j in subset) for subset in subsets]
    spread = sqrt(mean([(value - mean(earned)) ** 2 for value in earned]))
    standard = [(value - mean(earned)) / (spread + EPSILON) for value in earned]
    return [
        mean([value for subset, value in zip(subsets, standard, strict=True) if i in subset]) for i in range(len(R))
    ]


def best_less_second(R: Numbers) -> list[float]:
    best, second = sorted(R, reverse=True)[:2]
    return [best - second if i == R.index(best) else 0.0 for i in range(len(R))]


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def importance_sampling(p: Numbers, old: Numbers, A: Numbers, c: Numbers) -> float:
    return -sum(c[t] * exp(p[t] - old[t]) * A[t] for t in range(len(p)))


def ppo(p: Numbers, old: Numbers, A: Numbers, c: Numbers, *, low: float, high: float, dual: float = inf) -> float:
    total = 0.0
    for t in range(len(p)):
        w = exp(p[t] - old[t])
        term = min(w * A[t], clip(w, low, high) * A[t])
        total -= c[t] * (max(term, dual * A[t]) if A[t] < 0 else term)
    return total


def cispo(p: Numbers, old: Numbers, A: Numbers, c: Numbers, *, held: Numbers, low: float, high: float) -> float:
    return -sum(c[t] * clip(exp(held[t] - old[t]), low, high) * A[t] * p[t] for t in range(len(p)))


def gspo(
    p: Numbers, old: Numbers, A: Numbers, c: Numbers, *, lengths: Sequence[int], held: Numbers, low: float, high: float
) -> float:
    total, start = 0.0, 0
    for length in lengths:
        tokens = range(start, start + length)
        sequence_ratio = exp(mean([held[t] - old[t] for t in tokens]))
        for t in tokens:
            s = sequence_ratio * exp(p[t]) / exp(held[t])
            total -= c[t] * min(s * A[t], clip(s, low, high) * A[t])
        start += length
    return total


def kl_penalty(p: float, ref: float, q: float, *, form: str, held: float) -> float:
    if form == "k2":
        return exp(held) / exp(q) * (p - ref) ** 2 / 2
    distance = exp(ref) / exp(p) - 1 - (ref - p)
    return distance if form == "grpo_k3" else exp(p) / exp(q) * distance
