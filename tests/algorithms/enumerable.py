"""Decision problems so small that every group of attempts can be listed, and expectations are sums.

A policy has one row of logits per state. A path is one attempt at the problem: what the world does to it by chance,
what the policy decides and what each turn earns. ``expected_gradient`` lists all groups of n paths; ``exact_gradient``
differentiates an expected value itself. Both are over all logits, flattened.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import torch
from torch import Tensor

Logits = tuple[Tensor, ...]
"""Per state [actions]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One attempt, from beginning to end."""

    decisions: tuple[tuple[int, int], ...]
    """State and action of each turn."""
    rewards: tuple[float, ...]
    """Of each turn."""
    luck: float = 1.0
    """Probability of what the world did, given the decisions."""

    @property
    def reward(self) -> float:
        """R."""
        return sum(self.rewards)


Advantages = Callable[[Sequence[Path]], Sequence[Sequence[float]]]
"""Of a group: one advantage per decision of each path."""


def policy(*logits: Sequence[float]) -> Logits:
    return tuple(torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in logits)


def bandit(*rewards: float) -> list[Path]:
    """Return the paths of a problem of one decision."""
    return [Path(decisions=((0, action),), rewards=(reward,)) for action, reward in enumerate(rewards)]


def two_turns(*, may_end: bool) -> list[Path]:
    """Return the paths of two decisions with a coin of the world between them; a third first action ends at once."""
    first, second = (0.25, -1.0), ((1.0, 0.0), (-0.5, 2.0))
    ended = [Path(decisions=((0, 2),), rewards=(0.75,))] if may_end else []
    coin = ((0.7, 0.3), (0.2, 0.8))
    return ended + [
        Path(decisions=((0, a), (1 + side, b)), rewards=(first[a], second[side][b] + 0.5 * a), luck=coin[a][side])
        for a, side, b in product(range(2), repeat=3)
    ]


TWO_TURNS_LOGITS = ((0.3, -0.2), (0.5, -0.6), (-0.1, 0.4))
TWO_TURNS_OR_ONE_LOGITS = ((0.3, -0.2, 0.1), *TWO_TURNS_LOGITS[1:])


def logprobs(path: Path, logits: Logits) -> Tensor:
    """Return log p of each decision."""
    return torch.stack([logits[state].log_softmax(0)[action] for state, action in path.decisions])


def chance(path: Path, logits: Logits) -> Tensor:
    """Return the probability of a path, differentiable."""
    return path.luck * logprobs(path, logits).sum().exp()


def gradient(value: Tensor, logits: Logits) -> Tensor:
    return torch.cat(torch.autograd.grad(value, logits, allow_unused=True, materialize_grads=True))


def exact_gradient(paths: Sequence[Path], logits: Logits, value: Callable[[Path], float | Tensor]) -> Tensor:
    """Return the gradient of E[value]."""
    return gradient(torch.stack([chance(path, logits) * value(path) for path in paths]).sum(), logits)


def expected_gradient(
    paths: Sequence[Path],
    logits: Logits,
    advantages: Advantages,
    *,
    n: int,
    seen: Callable[[int], bool] = lambda turn: True,
) -> Tensor:
    """Return E[ (1/n) sum_i sum_t A_{i,t} grad log p_{i,t} ] over groups of n attempts; t only where ``seen``."""
    chances = [chance(path, logits).item() for path in paths]
    weights = [[0.0] * len(path.decisions) for path in paths]
    for group in product(range(len(paths)), repeat=n):
        likely = prod(chances[number] for number in group)
        for number, values in zip(group, advantages([paths[number] for number in group]), strict=True):
            for turn, value in enumerate(values):
                weights[number][turn] += likely * value / n if seen(turn) else 0.0
    terms = [
        (torch.tensor(weight, dtype=torch.float64) * logprobs(path, logits)).sum()
        for path, weight in zip(paths, weights, strict=True)
    ]
    return gradient(torch.stack(terms).sum(), logits)
