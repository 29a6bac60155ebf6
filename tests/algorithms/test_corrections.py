"""Weights for tokens of another policy: by hand, against plain numbers, and what they leave of the objective."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.corrections import band_weight, interpolated_proximal, truncated_weight
from turnwright.algorithms.importance_sampling import importance_sampling_loss
from turnwright.algorithms.ppo import ppo_loss

LOGPROBS = st.floats(-4, 0)
PAIRS = st.lists(st.tuples(LOGPROBS, LOGPROBS), min_size=1, max_size=8)


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def columns(rows: list) -> list[torch.Tensor]:
    return [numbers(*column) for column in zip(*rows, strict=True)]


def test_decoupled_ppo_by_hand():
    """prox / q = 2 held at 1.5; u = p / prox = 1.1 within the clip: -(1.5 * 1.1 * A)."""
    q, prox = math.log(0.1), math.log(0.2)
    logprobs = numbers(math.log(0.22)).requires_grad_()
    weight = truncated_weight(numbers(prox), numbers(q), cap=1.5)
    result = ppo_loss(
        logprobs, numbers(prox), numbers(2.0), weight, clip_low_threshold=0.8, clip_high_threshold=1.2
    )  # fmt: skip
    assert result.loss.item() == pytest.approx(-3.3)
    result.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.item() == pytest.approx(-3.3)


def test_tokens_outside_the_band_leave():
    ratios = numbers(0.4, 0.5, 1.0, 5.0, 5.1)
    assert band_weight(ratios.log(), numbers(0, 0, 0, 0, 0)).tolist() == pytest.approx([0, 0.5, 1, 5, 0])


def test_the_interpolated_proximal_policy():
    logprobs, sampled = numbers(-1, -1, -1), numbers(-3, -3, -3)
    found = interpolated_proximal(logprobs.requires_grad_(), sampled, torch.tensor([0, 1, 4]))
    # d = 4: a quarter of q and three quarters of p.
    assert found.tolist() == pytest.approx([-3, -3, -1.5])
    assert not found.requires_grad


def test_corrections_carry_no_gradient():
    prox = numbers(-1.0).requires_grad_()
    assert not truncated_weight(prox, numbers(-2.0), cap=9).requires_grad
    assert not band_weight(prox, numbers(-2.0)).requires_grad


@given(PAIRS, st.floats(0.1, 9), st.floats(0.01, 1), st.floats(1, 9))
def test_weights_equal_their_definition(pairs: list[tuple[float, float]], cap: float, low: float, high: float):
    prox, q = columns(pairs)
    ratios = [math.exp(a) / math.exp(b) for a, b in pairs]
    assert truncated_weight(prox, q, cap=cap).tolist() == pytest.approx([min(r, cap) for r in ratios], rel=1e-9)
    expected = [r if low <= r <= high else 0.0 for r in ratios]
    if all(abs(r - edge) > 1e-9 for r in ratios for edge in (low, high)):
        assert band_weight(prox, q, low=low, high=high).tolist() == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.tuples(LOGPROBS, LOGPROBS, st.integers(0, 9)), min_size=1, max_size=8))
def test_the_interpolated_policy_equals_its_definition(tokens: list[tuple[float, float, int]]):
    p, q, staleness = columns(tokens)
    found = interpolated_proximal(p, q, staleness.long()).tolist()
    assert found == pytest.approx([b if d == 0 else b / d + (1 - 1 / d) * a for a, b, d in tokens], abs=1e-12)


@given(PAIRS, st.floats(-2, 2))
def test_only_the_ratio_counts(pairs: list[tuple[float, float]], by: float):
    prox, q = columns(pairs)
    torch.testing.assert_close(truncated_weight(prox + by, q + by, cap=2.0), truncated_weight(prox, q, cap=2.0))
    wide = {"low": 1e-9, "high": 1e9}
    torch.testing.assert_close(band_weight(prox + by, q + by, **wide), band_weight(prox, q, **wide))


@given(PAIRS)
def test_where_the_policies_agree_nothing_is_corrected(pairs: list[tuple[float, float]]):
    prox, _ = columns(pairs)
    ones = [1.0] * len(pairs)
    assert truncated_weight(prox, prox, cap=1.0).tolist() == ones
    assert band_weight(prox, prox).tolist() == ones
    assert interpolated_proximal(prox, prox, torch.full((len(pairs),), 3)).tolist() == pytest.approx(prox.tolist())


@given(st.lists(st.tuples(LOGPROBS, LOGPROBS, LOGPROBS, st.floats(-3, 3)), min_size=1, max_size=6))
def test_uncapped_and_unclipped_the_proximal_policy_cancels(tokens: list[tuple[float, float, float, float]]):
    """(prox / q) (p / prox) = p / q: value and gradient are those of importance sampling from q."""
    p, prox, q, advantages = columns(tokens)
    p.requires_grad_()
    for weights in (truncated_weight(prox, q, cap=math.inf), band_weight(prox, q, low=0.0, high=math.inf)):
        ours = importance_sampling_loss(p, prox, advantages, weights).loss
        plain = importance_sampling_loss(p, q, advantages, torch.ones_like(q)).loss
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(*(torch.autograd.grad(loss, p)[0] for loss in (ours, plain)), rtol=1e-9, atol=1e-9)
