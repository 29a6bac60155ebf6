"""Importance sampling, CISPO, GSPO and the dual clip worked by hand; PPO in test_ppo.py, laws in test_loss_laws.py."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.cispo import cispo_loss
from turnwright.algorithms.gspo import gspo_loss
from turnwright.algorithms.importance_sampling import importance_sampling_loss
from turnwright.algorithms.ppo import ppo_loss

LIMITS = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gradient(loss: torch.Tensor, logprobs: torch.Tensor) -> list[float]:
    return torch.autograd.grad(loss, logprobs)[0].tolist()


def test_importance_sampling_by_hand():
    # w = e^0.5 and e^-1: -(0.5 * 1.648721 * 2 + 0.25 * 0.367879 * -4) = -1.280842
    logprobs = numbers(-1, -2).requires_grad_()
    result = importance_sampling_loss(logprobs, numbers(-1.5, -1), numbers(2, -4), numbers(0.5, 0.25))
    assert result.loss.item() == pytest.approx(-1.280842, abs=1e-6)
    assert gradient(result.loss, logprobs) == pytest.approx([-1.648721, 0.367879], abs=1e-6)


def test_cispo_keeps_the_gradient_of_a_clipped_token():
    # w = e^2 = 7.39, held at 2: loss = -2 * 3 * log p, gradient -6 and not 0.
    logprobs = numbers(-1).requires_grad_()
    result = cispo_loss(
        logprobs, numbers(-3), numbers(3), numbers(1), clip_low_threshold=0.0, clip_high_threshold=2.0
    )  # fmt: skip
    assert (result.loss.item(), gradient(result.loss, logprobs)) == (pytest.approx(6.0), pytest.approx([-6.0]))
    assert result.clipped_T.tolist() == [True]
    assert result.ratio_T.item() == pytest.approx(math.exp(2))


def test_cispo_with_a_lower_threshold_lifts_small_weights():
    # w = 0.1 held at 0.5: gradient -(0.5 * -2).
    logprobs = numbers(math.log(0.05)).requires_grad_()
    result = cispo_loss(
        logprobs, numbers(math.log(0.5)), numbers(-2), numbers(1), clip_low_threshold=0.5, clip_high_threshold=2.0
    )
    assert gradient(result.loss, logprobs) == pytest.approx([1.0])
    assert result.clipped_T.tolist() == [True]


def test_the_dual_clip_bounds_what_a_bad_token_can_cost():
    # w = 4 and A = -1: without it the term is -4, with it -3 and no gradient; at w = 2 nothing changes.
    for ratio, loss, slope, clipped in ((4.0, 3.0, 0.0, True), (2.0, 2.0, 2.0, False)):
        logprobs = numbers(math.log(0.2 * ratio)).requires_grad_()
        result = ppo_loss(logprobs, numbers(math.log(0.2)), numbers(-1), numbers(1), **LIMITS, dual_clip=3.0)
        assert result.loss.item() == pytest.approx(loss)
        assert gradient(result.loss, logprobs) == pytest.approx([slope], abs=1e-12)
        assert result.clipped_T.tolist() == [clipped]


def test_gspo_by_hand():
    # Log-ratios 0.2, 0.4 and 0.3, -0.1: s = e^0.3 = 1.349859 and e^0.1 = 1.105171, thresholds 0.9 and 1.2.
    logprobs = numbers(-0.8, -0.6, -0.7, -1.1).requires_grad_()
    result = gspo_loss(
        logprobs, numbers(-1, -1, -1, -1), numbers(1, 1, -2, -2), numbers(0.25, 0.25, 0.25, 0.25), torch.tensor([2, 2]),
        clip_low_threshold=0.9, clip_high_threshold=1.2,
    )  # fmt: skip
    assert result.loss.item() == pytest.approx(-(0.5 * 1.2 - 0.5 * 2 * math.exp(0.1)))
    assert gradient(result.loss, logprobs) == pytest.approx([0, 0, *[0.5 * 2 * math.exp(0.1) / 2] * 2])
    assert result.clipped_T.tolist() == [True, True, False, False]
    assert result.ratio_T.tolist() == pytest.approx([math.exp(0.3)] * 2 + [math.exp(0.1)] * 2)


PAIRS = st.lists(st.tuples(st.floats(-4, 0), st.floats(-4, 0)), min_size=1, max_size=10)


@given(PAIRS, st.integers(1, 10))
def test_gspo_per_token_has_the_gradient_of_gspo_per_sequence(pairs: list[tuple[float, float]], cut: int):
    """-sum_i c_i min(s_i A_i, clip(s_i) A_i) with s_i differentiable, for sequences of equal advantage."""
    logprobs, old = numbers(*(x for pair in pairs for x in pair)).reshape(-1, 2).T
    lengths = [length for length in (min(cut, len(pairs)), len(pairs) - cut) if length > 0]
    signs, shares = [1.5, -2.0][: len(lengths)], [0.4, 0.6][: len(lengths)]
    leaf = logprobs.clone().requires_grad_()
    parts = zip((leaf - old).split(lengths), signs, shares, strict=True)
    ratios = [(part.mean().exp(), a, c) for part, a, c in parts]
    by_sequence = -torch.stack([c * torch.minimum(s * a, s.clamp(0.8, 1.2) * a) for s, a, c in ratios]).sum()
    advantages = numbers(*(a for a, n in zip(signs, lengths, strict=True) for _ in range(n)))
    weights = numbers(*(c / n for c, n in zip(shares, lengths, strict=True) for _ in range(n)))
    result = gspo_loss(leaf, old, advantages, weights, torch.tensor(lengths), **LIMITS)
    assert gradient(result.loss, leaf) == pytest.approx(gradient(by_sequence, leaf), abs=1e-9)
    assert result.loss.item() == pytest.approx(by_sequence.item(), abs=1e-9)


@given(PAIRS)
def test_gspo_of_sequences_of_one_token_is_ppo(pairs: list[tuple[float, float]]):
    logprobs, old = numbers(*(x for pair in pairs for x in pair)).reshape(-1, 2).T
    tokens = (logprobs, old, numbers(*([1.5, -2.0] * 5)[: len(pairs)]), numbers(*[0.1] * len(pairs)))
    one = gspo_loss(*tokens, torch.ones(len(pairs), dtype=torch.long), **LIMITS)
    other = ppo_loss(*tokens, **LIMITS)
    assert one.loss.item() == pytest.approx(other.loss.item(), abs=1e-9)
    assert torch.equal(one.clipped_T, other.clipped_T)
