"""Numbers worked out by hand: ratio w = p / q, loss = -sum c min(w A, clip(w, 0.8, 1.2) A)."""

import math

import pytest
import torch

from turnwright.algorithms.policy_loss import PolicyLoss
from turnwright.algorithms.ppo import ppo_loss

RATIOS = [1.0, 1.5, 0.5, 1.5, 0.5, 1.1]
ADVANTAGES = [2.0, 2.0, 2.0, -2.0, -2.0, -1.0]
# A > 0: 1.0 * 2 | 1.5 clipped to 1.2: 2.4 | 0.5 free: 1.0     A < 0: 1.5 free: -3.0 | 0.5 clipped to 0.8: -1.6 | -1.1
TERMS = [2.0, 2.4, 1.0, -3.0, -1.6, -1.1]
CLIPPED = [False, True, False, False, True, False]
GRADIENTS = [2.0, 0.0, 1.0, -3.0, 0.0, -1.1]
"""d(term) / d(log p) = w A where the clip leaves it, 0 where it takes it."""


def loss_of(ratios: list[float], advantages: list[float], weights: list[float]) -> tuple[PolicyLoss, torch.Tensor]:
    """Return the loss of tokens whose sampler gave them q = 0.4, and the leaf of log p."""
    sampled = torch.full((len(ratios),), math.log(0.4), dtype=torch.float64)
    logprobs = (sampled + torch.tensor(ratios, dtype=torch.float64).log()).requires_grad_()
    result = ppo_loss(
        logprobs,
        sampled,
        torch.tensor(advantages, dtype=torch.float64),
        torch.tensor(weights, dtype=torch.float64),
        clip_low_threshold=0.8,
        clip_high_threshold=1.2,
    )
    return result, logprobs


def test_each_side_of_the_clip_takes_its_own_sign_of_advantage():
    for ratio, advantage, term, clipped, gradient in zip(RATIOS, ADVANTAGES, TERMS, CLIPPED, GRADIENTS, strict=True):
        result, logprobs = loss_of([ratio], [advantage], [1.0])
        result.loss.backward()
        assert result.loss.item() == pytest.approx(-term)
        assert result.clipped_T.tolist() == [clipped]
        assert result.ratio_T.item() == pytest.approx(ratio)
        assert logprobs.grad is not None
        assert logprobs.grad.item() == pytest.approx(-gradient, abs=1e-12)


def test_the_loss_is_the_weighted_sum_of_its_tokens():
    weights = [0.1, 0.2, 0.3, 0.15, 0.05, 0.2]
    result, _ = loss_of(RATIOS, ADVANTAGES, weights)
    # 0.2 + 0.48 + 0.3 - 0.45 - 0.08 - 0.22 = 0.23
    assert result.loss.item() == pytest.approx(-0.23)


def test_at_ratio_1_the_gradient_is_reinforce():
    torch.manual_seed(0)
    logits = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([0, 3, 6, 2, 2])
    advantages = torch.tensor([1.0, -0.5, 2.0, 0.0, -1.5], dtype=torch.float64)
    weights = torch.full((5,), 0.2, dtype=torch.float64)
    logprobs = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    surrogate = ppo_loss(
        logprobs, logprobs.detach(), advantages, weights, clip_low_threshold=0.8, clip_high_threshold=1.2
    )
    assert surrogate.ratio_T.tolist() == [1.0] * 5
    assert not surrogate.clipped_T.any()
    (ours,) = torch.autograd.grad(surrogate.loss, logits, retain_graph=True)
    (reinforce,) = torch.autograd.grad(-(weights * advantages * logprobs).sum(), logits)
    torch.testing.assert_close(ours, reinforce, rtol=1e-12, atol=1e-12)
