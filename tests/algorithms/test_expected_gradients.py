"""What the estimates are estimates of: on problems whose every outcome is listed, to 1e-9.

rloo                    the gradient of E[R], for any n
monte_carlo             the same; with gamma < 1 turn t counts as if the attempt began there
group_based             (n - 1) / n of it without the deviation, because the mean has each attempt in it
group_based_per_turn    the same where all attempts reach turn t; otherwise a factor per turn between 1/2 and that
grpo_passk              times k/n the gradient of E[best of k], for any rewards and every k that it takes
  analytic              times k/n and its deviation (n - k) / n of that
group_based, opo        with the deviation, or with unequal lengths: no multiple of the gradient
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import comb, sqrt

import pytest
import torch
from torch import Tensor

from algorithms.enumerable import (
    TWO_TURNS_LOGITS,
    TWO_TURNS_OR_ONE_LOGITS,
    Advantages,
    Logits,
    Path,
    bandit,
    chance,
    exact_gradient,
    expected_gradient,
    gradient,
    logprobs,
    policy,
    two_turns,
)
from turnwright.algorithms.advantages import group_based, opo, rloo
from turnwright.algorithms.importance_sampling import importance_sampling_loss
from turnwright.algorithms.passk import grpo_passk, grpo_passk_analytic, max_minus_second
from turnwright.algorithms.turns import group_based_per_turn, monte_carlo

BANDIT = bandit(-0.5, 2.0, 0.25)
BANDIT_LOGITS = ((0.3, -0.4, 0.9),)


def tensor(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def whole(function: Callable[[Tensor], Tensor]) -> Advantages:
    """Give each decision of an attempt the advantage of its reward."""
    return lambda group: [
        [value] * len(path.decisions)
        for path, value in zip(group, function(tensor([path.reward for path in group])).tolist(), strict=True)
    ]


def to_go(gamma: float) -> Advantages:
    return lambda group: [monte_carlo(tensor(path.rewards), gamma=gamma).tolist() for path in group]


def per_turn(gamma: float) -> Advantages:
    return lambda group: [
        values.tolist()
        for values in group_based_per_turn([tensor(path.rewards) for path in group], gamma=gamma, normalise=False)
    ]


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def apart_from_any_multiple(found: Tensor, expected: Tensor) -> float:
    """Return the sine of the angle between two gradients."""
    return sqrt(1 - ((found @ expected) / (found.norm() * expected.norm())).item() ** 2)


def expected_reward(paths: Sequence[Path], logits: Logits) -> Tensor:
    return exact_gradient(paths, logits, lambda path: path.reward)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_the_gradient_of_the_reward(n: int) -> None:
    logits = policy(*BANDIT_LOGITS)
    exact = expected_reward(BANDIT, logits)
    same(expected_gradient(BANDIT, logits, whole(rloo), n=n), exact)
    centred = whole(lambda rewards_G: group_based(rewards_G, normalise=False))
    same(expected_gradient(BANDIT, logits, centred, n=n), (n - 1) / n * exact)
    same(expected_gradient(BANDIT, logits, whole(lambda r: opo(r, torch.full((n,), 7))), n=n), (n - 1) / n * exact)


def test_over_two_turns_as_well() -> None:
    paths, logits = two_turns(may_end=True), policy(*TWO_TURNS_OR_ONE_LOGITS)
    same(expected_gradient(paths, logits, whole(rloo), n=3), expected_reward(paths, logits))


@pytest.mark.parametrize("may_end", [False, True])
def test_monte_carlo_is_the_policy_gradient(may_end: bool) -> None:
    paths = two_turns(may_end=may_end)
    logits = policy(*(TWO_TURNS_OR_ONE_LOGITS if may_end else TWO_TURNS_LOGITS))
    same(expected_gradient(paths, logits, to_go(1.0), n=1), expected_reward(paths, logits))


def test_with_a_discount_each_turn_counts_as_if_the_attempt_began_there() -> None:
    """Sutton and Barto's algorithm has another factor gamma^t, by which late turns would hardly be trained."""
    gamma = 0.6
    paths, logits = two_turns(may_end=True), policy(*TWO_TURNS_OR_ONE_LOGITS)
    exact = exact_gradient(paths, logits, lambda path: sum(gamma**t * r for t, r in enumerate(path.rewards)))
    early, late = (expected_gradient(paths, logits, to_go(gamma), n=1, seen=lambda t, k=k: t == k) for k in (0, 1))
    same(early + gamma * late, exact)
    assert (early + late - exact).norm() > 0.1 * exact.norm()


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("gamma", [1.0, 0.6])
def test_per_turn_it_is_the_group_s_share_of_monte_carlo(n: int, gamma: float) -> None:
    paths, logits = two_turns(may_end=False), policy(*TWO_TURNS_LOGITS)
    alone = expected_gradient(paths, logits, to_go(gamma), n=1)
    same(expected_gradient(paths, logits, per_turn(gamma), n=n), (n - 1) / n * alone)


@pytest.mark.parametrize("n", [2, 3])
def test_per_turn_where_some_end_earlier_each_turn_has_a_factor_of_its_own(n: int) -> None:
    """Of m attempts at a turn the mean has 1/m of each; one that is alone is held against all n at turn 0."""
    paths, logits = two_turns(may_end=True), policy(*TWO_TURNS_OR_ONE_LOGITS)
    reach = sum(chance(path, logits).item() for path in paths if len(path.decisions) == 2)
    factor = sum(
        comb(n - 1, others) * reach**others * (1 - reach) ** (n - 1 - others) * (1 - 1 / (1 + others if others else n))
        for others in range(n)
    )
    assert 0.5 <= factor <= (n - 1) / n
    for turn, expected in enumerate(((n - 1) / n, factor)):
        found = expected_gradient(paths, logits, per_turn(1.0), n=n, seen=lambda t, turn=turn: t == turn)
        alone = expected_gradient(paths, logits, to_go(1.0), n=1, seen=lambda t, turn=turn: t == turn)
        same(found, expected * alone)


def test_what_is_no_multiple_of_the_gradient() -> None:
    """The deviation weighs groups by how much they differ; unequal lengths weigh an attempt's share in the baseline."""
    logits = policy(*BANDIT_LOGITS)
    exact = expected_reward(BANDIT, logits)
    standardised = expected_gradient(BANDIT, logits, whole(lambda r: group_based(r, normalise=True)), n=3)
    assert apart_from_any_multiple(standardised, exact) > 0.1

    def by_length(group: Sequence[Path]) -> list[list[float]]:
        lengths = torch.tensor([1 + 8 * path.decisions[0][1] for path in group])
        return opo(tensor([path.reward for path in group]), lengths)[:, None].tolist()

    assert apart_from_any_multiple(expected_gradient(BANDIT, logits, by_length, n=3), exact) > 0.1


def best_of(paths: Sequence[Path], logits: Logits, k: int) -> Tensor:
    """Return the gradient of E[max of k attempts]."""
    chances = [chance(path, logits) for path in paths]
    groups = product(range(len(paths)), repeat=k)
    return gradient(
        torch.stack([
            torch.stack([chances[i] for i in group]).prod() * max(paths[i].reward for i in group) for group in groups
        ]).sum(),
        logits,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 1.0, 1.0), (-0.5, 0.25, 2.0), (-3.0, -1.5, -1.5)])
@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_the_gradient_of_the_best_of_k(values: tuple[float, ...], n: int) -> None:
    """k/n sum_i A_i grad log p_i; the factor 1/n is that of the mean over the group."""
    paths, logits = bandit(*values), policy(BANDIT_LOGITS[0][: len(values)])
    for k in range(2, n + 1):
        found = k * expected_gradient(paths, logits, whole(lambda r, k=k: grpo_passk(r, k=k)), n=n)
        same(found, best_of(paths, logits, k))
    same(n * expected_gradient(paths, logits, whole(max_minus_second), n=n), best_of(paths, logits, n))


def test_the_best_of_k_over_two_turns() -> None:
    paths, logits = two_turns(may_end=True), policy(*TWO_TURNS_OR_ONE_LOGITS)
    found = 2 * expected_gradient(paths, logits, whole(lambda r: grpo_passk(r, k=2)), n=3)
    same(found, best_of(paths, logits, 2))


@pytest.mark.parametrize("n", [3, 4, 5])
def test_the_analytic_form_before_it_is_standardised(n: int) -> None:
    """Its baseline is the mean over all subsets, those of the attempt included: a share (n - k) / n is left.

    With k = n nothing is left, which is why it is refused.
    """
    paths, logits = bandit(0.0, 1.0, 1.0), policy(*BANDIT_LOGITS)
    for k in range(2, n):

        def unscaled(rewards_G: Tensor, k: int = k) -> Tensor:
            missed = comb(n - int(rewards_G.sum()), k) / comb(n, k)
            return grpo_passk_analytic(rewards_G, k=k) * (sqrt(missed * (1 - missed)) + 1e-6)

        found = k * expected_gradient(paths, logits, whole(unscaled), n=n)
        same(found, (n - k) / n * best_of(paths, logits, k))


def test_the_baseline_of_opo_has_the_least_variance() -> None:
    """Each token is a coin with a logit of its own, so that the squared norm of a gradient is length / 4 exactly.

    Heads at token t ends the attempt, at the third token it ends anyway: lengths 1, 2, 3, 3 with chances 1/2, 1/4, 1/8
    and 1/8. A group in these shares has the exact expectations: baseline (4 * 1 * 1 + 2 * 2 * 0 + 3 * 5 + 3 * 2) / 14.
    """
    ends = [((0, 0),), ((0, 1), (1, 0)), ((0, 1), (1, 1), (2, 0)), ((0, 1), (1, 1), (2, 1))]
    rewards = (1.0, 0.0, 5.0, 2.0)
    paths = [Path(decisions=end, rewards=(reward,)) for end, reward in zip(ends, rewards, strict=True)]
    logits = tuple(torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(3))
    scores = [coin_gradient(path, logits) for path in paths]
    assert [(score @ score).item() for score in scores] == [len(path.decisions) / 4 for path in paths]
    group = [0, 0, 0, 0, 1, 1, 2, 3]
    found = opo(tensor([rewards[i] for i in group]), torch.tensor([len(ends[i]) for i in group]))
    baseline = rewards[0] - found[0].item()
    assert baseline == pytest.approx(25 / 14)

    def variance(b: float) -> float:
        estimates = torch.stack([(rewards[i] - b) * scores[i] for i in group])
        return (estimates - estimates.mean(0)).square().sum(1).mean().item()

    # A parabola in b: its lowest point lies between any two equal sides.
    assert variance(baseline + 0.5) == pytest.approx(variance(baseline - 0.5), rel=1e-12)
    assert variance(baseline) < variance(baseline + 0.01)
    assert variance(baseline) < variance(tensor([rewards[i] for i in group]).mean().item()) - 0.05


def coin_gradient(path: Path, logits: Logits) -> Tensor:
    sides = [torch.stack([torch.zeros(1, dtype=torch.float64), logit]).flatten() for logit in logits]
    total = torch.stack([sides[state].log_softmax(0)[action] for state, action in path.decisions]).sum()
    return gradient(total, logits)


def test_importance_sampling_takes_the_sampler_s_share_out() -> None:
    """E over q of w A grad log p is the gradient under p."""
    logits, sampler = policy(*BANDIT_LOGITS), policy((-0.2, 0.6, 0.1))
    q = [chance(path, sampler).item() for path in BANDIT]
    p = [logprobs(path, logits)[0] for path in BANDIT]
    old, rewards = tensor(q).log(), tensor([path.reward for path in BANDIT])
    loss = importance_sampling_loss(torch.stack(p), old, rewards, tensor(q)).loss
    same(-gradient(loss, logits), expected_reward(BANDIT, logits))
