"""What a batch of an older policy's samples teaches: coefficients by hand, expectations against brute force.

Two actions, sampled by version 0 in one half of the cases and by version 3 in the other; version 4 is trained. What
the learner makes of it is listed outcome by outcome and held against numbers that know nothing of it: the exact
gradient of the reward, or differences of the objective itself.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product

import pytest
import torch
from torch import Tensor

from algorithms.enumerable import Logits, bandit, exact_gradient, gradient, policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.trajectory import Row
from turnwright.learner.batch import WeightedRow
from turnwright.learner.objective import LossSettings, objective
from turnwright.learner.tokens import Anchors, pass_tokens
from turnwright.models.forward import TokenScores

REWARDS = (1.0, -0.25)
START = 4
SAMPLERS = {0: policy((0.9, -0.8)), 3: policy((-0.1, 0.6))}
"""Logits of each version that sampled."""
BEGIN = (0.6, -0.4)
"""Those that the step starts from."""
LATER = (0.9, -0.3)
"""Those after an update of it."""
PLAIN = LossSettings(loss_fn="importance_sampling", truncated_importance_cap=math.inf)
CAPPED = LossSettings(loss_fn="importance_sampling", truncated_importance_cap=1.3)
DECOUPLED = LossSettings(truncated_importance_cap=1.3)
COUPLED = LossSettings()


def entry(version: int, action: int, logprob: float, *, advantage: float, weight: float) -> WeightedRow:
    row = Row(
        key=EpisodeKey(task_id=f"bandit of version {version}", attempt=action),
        token_ids=(5, action),
        trained=(False, True),
        logprobs=(0.0, logprob),
        turn_index=(-1, 0),
        policy_versions=(-1, version),
        temperature=(1.0, 1.0),
    )
    return WeightedRow(row=row, number=0, group="a", advantages=(advantage,), weight=weight, term_weight=weight)


def outcomes() -> list[WeightedRow]:
    """Return every version and action once, weighted by its probability."""
    found: list[WeightedRow] = []
    for version, action in product(SAMPLERS, range(2)):
        logprob = SAMPLERS[version][0].detach().log_softmax(0)[action].item()
        found.append(entry(version, action, logprob, advantage=REWARDS[action], weight=0.5 * math.exp(logprob)))
    return found


def anchors_of(proximal: str) -> Anchors:
    """Return what the step knows: with "recomputed" the probabilities as it starts."""
    begin = torch.tensor(BEGIN).log_softmax(0)
    known = {one.row.key: [begin[one.row.token_ids[1]][None]] for one in outcomes()}
    return Anchors(
        version=START, interpolated=proximal == "interpolated", proximal=known if proximal == "recomputed" else {}
    )


def expected_descent(proximal: str, settings: LossSettings, logits: Logits) -> Tensor:
    """Return minus the gradient of the loss over all outcomes."""
    entries = outcomes()
    logprobs_T = logits[0].log_softmax(0)[[one.row.token_ids[1] for one in entries]]
    tokens = pass_tokens(entries, anchors_of(proximal), logprobs_T.detach())
    scores = TokenScores(logprobs=logprobs_T, entropy=torch.zeros_like(logprobs_T))
    return -gradient(objective(scores, tokens, settings).total, logits)


def differences(value: Callable[[Sequence[float]], float], at: Sequence[float], *, step: float = 1e-5) -> Tensor:
    """Return the gradient of a function of plain numbers by central differences."""
    found: list[float] = []
    for place in range(len(at)):
        up, down = list(at), list(at)
        up[place] += step
        down[place] -= step
        found.append((value(up) - value(down)) / (2 * step))
    return torch.tensor(found, dtype=torch.float64)


def chances(logits: Sequence[float]) -> list[float]:
    total = sum(math.exp(value) for value in logits)
    return [math.exp(value) / total for value in logits]


def each_outcome() -> list[tuple[int, float, float, float]]:
    """Return action, probability q of the sampler, share of the cases and reward."""
    return [
        (action, q, 0.5 * q, REWARDS[action])
        for logits in SAMPLERS.values()
        for action, q in enumerate(chances(logits[0].tolist()))
    ]


def clipped(ratio: float, reward: float) -> float:
    return min(ratio * reward, min(max(ratio, 0.8), 1.2) * reward)


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("at", [BEGIN, LATER])
@pytest.mark.parametrize("proximal", ["recomputed", "interpolated"])
def test_uncapped_it_is_the_gradient_of_the_reward_however_stale(proximal: str, at: Sequence[float]):
    logits = policy(at)
    exact = exact_gradient(bandit(*REWARDS), logits, lambda path: path.reward)
    same(expected_descent(proximal, PLAIN, logits), exact)
    coupled = expected_descent("sampler", LossSettings(loss_fn="importance_sampling"), logits)
    same(coupled, exact)


@pytest.mark.parametrize("at", [BEGIN, LATER])
def test_truncated_importance_sampling(at: Sequence[float]):
    """E over q of min(prox / q, cap) (p / prox) R, differentiated by differences."""
    prox = chances(BEGIN)

    def value(logits: Sequence[float]) -> float:
        p = chances(logits)
        return sum(
            share * min(prox[action] / q, 1.3) * p[action] / prox[action] * reward
            for action, q, share, reward in each_outcome()
        )

    found = expected_descent("recomputed", CAPPED, policy(at))
    same(found, differences(value, at))
    assert max(prox[action] / q for action, q, _, _ in each_outcome()) > 2
    assert (found - expected_descent("recomputed", PLAIN, policy(at))).norm() > 0.1 * found.norm()


@pytest.mark.parametrize("at", [(0.7, -0.4), (1.5, -0.4), (-0.1, 0.2)])
def test_the_decoupled_objective_bounds_the_step_and_not_the_sampler(at: Sequence[float]):
    """arXiv:2110.00641, eq. 2, with the cap: clips look at p / prox alone."""
    prox = chances(BEGIN)

    def value(logits: Sequence[float]) -> float:
        p = chances(logits)
        return sum(
            share * min(prox[action] / q, 1.3) * clipped(p[action] / prox[action], reward)
            for action, q, share, reward in each_outcome()
        )

    same(expected_descent("recomputed", DECOUPLED, policy(at)), differences(value, at))


def test_without_it_stale_tokens_are_clipped_before_the_step_has_moved():
    def value(logits: Sequence[float]) -> float:
        p = chances(logits)
        return sum(share * clipped(p[action] / q, reward) for action, q, share, reward in each_outcome())

    off = expected_descent("sampler", COUPLED, policy(BEGIN))
    same(off, differences(value, BEGIN))
    on = expected_descent("recomputed", DECOUPLED, policy(BEGIN))
    assert (on - off).norm() > 0.1 * on.norm()


@pytest.mark.parametrize("at", [BEGIN, LATER])
def test_the_interpolated_objective(at: Sequence[float]):
    """prox = q^(1/d) p^(1 - 1/d) as numbers: d = 4 for version 0, and d = 1, where prox = q, for version 3."""
    p = chances(at)
    prox = [q ** (1 / d) * p[action] ** (1 - 1 / d)
            for (action, q, _, _), d in zip(each_outcome(), (4, 4, 1, 1), strict=True)]  # fmt: skip

    def value(logits: Sequence[float]) -> float:
        now = chances(logits)
        return sum(
            share * min(middle / q, 1.3) * clipped(now[action] / middle, reward)
            for (action, q, share, reward), middle in zip(each_outcome(), prox, strict=True)
        )

    same(expected_descent("interpolated", DECOUPLED, policy(at)), differences(value, at))


@pytest.mark.parametrize(
    ("proximal", "settings", "version", "coefficient"),
    [
        # p = 2 q and A = 1: how hard the token is pushed, - d loss / d log p.
        ("sampler", LossSettings(loss_fn="importance_sampling"), 0, 2.0),
        ("sampler", COUPLED, 0, 0.0),
        ("recomputed", COUPLED, 0, 1.0),
        ("recomputed", LossSettings(truncated_importance_cap=1.5), 0, 1.5),
        ("recomputed", LossSettings(truncated_importance_cap=3.0), 0, 2.0),
        ("recomputed", LossSettings(importance_band=(0.5, 1.5)), 0, 0.0),
        # d = 4: u = 2^(1/4) = 1.189 lies within the clip, prox / q = 2^(3/4) = 1.682.
        ("interpolated", COUPLED, 0, 2**0.25),
        ("interpolated", LossSettings(truncated_importance_cap=3.0), 0, 2.0),
        ("interpolated", LossSettings(truncated_importance_cap=1.5), 0, 1.5 * 2**0.25),
        ("interpolated", LossSettings(importance_band=(0.5, 1.5)), 0, 0.0),
        # d = 2: u = 2^(1/2) is clipped. d = 1 and d = 0: prox = q, as without a proximal policy.
        ("interpolated", LossSettings(truncated_importance_cap=3.0), 2, 0.0),
        ("interpolated", PLAIN, 2, 2.0),
        ("interpolated", PLAIN, 3, 2.0),
        ("interpolated", COUPLED, 3, 0.0),
        ("interpolated", COUPLED, 4, 0.0),
    ],
)
def test_how_hard_one_stale_token_is_pushed(proximal: str, settings: LossSettings, version: int, coefficient: float):
    one = entry(version, 1, math.log(0.2), advantage=1.0, weight=1.0)
    logprobs_T = torch.tensor([0.4]).log().requires_grad_()
    known = {one.row.key: [logprobs_T.detach()]} if proximal == "recomputed" else {}
    anchors = Anchors(version=START, interpolated=proximal == "interpolated", proximal=known)
    tokens = pass_tokens([one], anchors, logprobs_T.detach())
    assert tokens.staleness_T.tolist() == [START - version]
    scores = TokenScores(logprobs=logprobs_T, entropy=torch.zeros(1))
    objective(scores, tokens, settings).total.backward()
    assert logprobs_T.grad is not None
    assert -logprobs_T.grad.item() == pytest.approx(coefficient, abs=1e-5)
