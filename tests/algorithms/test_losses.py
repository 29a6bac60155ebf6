"""Importance sampling, CISPO, GSPO, the dual clip and corrections: by hand, against plain loops, and by gradient."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.cispo import cispo_loss
from turnwright.algorithms.corrections import band_weight, interpolated_proximal, truncated_weight
from turnwright.algorithms.gspo import gspo_loss
from turnwright.algorithms.importance_sampling import importance_sampling_loss
from turnwright.algorithms.policy_loss import PolicyLoss
from turnwright.algorithms.ppo import ppo_loss

LOW, HIGH, DUAL = 0.8, 1.2, 3.0
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], PolicyLoss]
LOSSES: dict[str, Loss] = {
    "importance_sampling": importance_sampling_loss,
    "ppo": lambda *tensors: ppo_loss(*tensors, clip_low_threshold=LOW, clip_high_threshold=HIGH),
    "dual": lambda *tensors: ppo_loss(*tensors, clip_low_threshold=LOW, clip_high_threshold=HIGH, dual_clip=DUAL),
    "cispo": lambda *tensors: cispo_loss(*tensors, clip_low_threshold=0.0, clip_high_threshold=2.0),
}
NAMES = pytest.mark.parametrize("name", LOSSES)
TOKENS = st.lists(
    st.tuples(st.floats(-4, 0), st.floats(-4, 0), st.floats(-3, 3), st.floats(0, 1)), min_size=1, max_size=10
)


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gradient_of(name: str, tokens: list) -> tuple[PolicyLoss, list[float]]:
    logprobs, old, advantages, weights = numbers(*(x for token in tokens for x in token)).reshape(-1, 4).T
    logprobs = logprobs.clone().requires_grad_()
    result = LOSSES[name](logprobs, old, advantages, weights)
    result.loss.backward()
    assert logprobs.grad is not None
    return result, logprobs.grad.tolist()


def clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def factor(name: str, ratio: float, advantage: float) -> float:
    """Return d term / d log p of one token: w A where the formula lets it through."""
    if name == "importance_sampling":
        return ratio * advantage
    if name == "cispo":
        return clamp(ratio, 0.0, 2.0) * advantage
    if clamp(ratio, LOW, HIGH) * advantage < ratio * advantage:
        return 0.0
    if name == "dual" and advantage < 0 and ratio > DUAL:
        return 0.0
    return ratio * advantage


@NAMES
@given(tokens=TOKENS)
def test_the_gradient_of_each_token_is_that_of_the_formula(name: str, tokens: list):
    _, gradient = gradient_of(name, tokens)
    expected = [-c * factor(name, math.exp(p - q), a) for p, q, a, c in tokens]
    assert gradient == pytest.approx(expected, abs=1e-9)


@NAMES
@given(tokens=TOKENS, cut=st.integers(0, 10))
def test_passes_add_up_and_order_does_not_matter(name: str, tokens: list, cut: int):
    whole, gradient = gradient_of(name, tokens)
    parts = [gradient_of(name, part) for part in (tokens[cut:], tokens[:cut]) if part]
    assert sum(part.loss.item() for part, _ in parts) == pytest.approx(whole.loss.item(), abs=1e-9)
    cut = min(cut, len(tokens))
    assert [value for _, part in parts for value in part] == pytest.approx([*gradient[cut:], *gradient[:cut]], abs=1e-9)


@NAMES
def test_at_ratio_1_every_loss_has_the_gradient_of_reinforce(name: str):
    tokens = [(-1.0, -1.0, 2.0, 0.5), (-0.3, -0.3, -1.5, 0.25)]
    result, gradient = gradient_of(name, tokens)
    assert gradient == pytest.approx([-1.0, 0.375])
    assert result.ratio_T.tolist() == [1.0, 1.0]
    assert not result.clipped_T.any()


def test_importance_sampling_by_hand():
    # w = e^0.5 and e^-1: -(0.5 * 1.648721 * 2 + 0.25 * 0.367879 * -4) = -1.280842
    result, _ = gradient_of("importance_sampling", [(-1.0, -1.5, 2.0, 0.5), (-2.0, -1.0, -4.0, 0.25)])
    assert result.loss.item() == pytest.approx(-(math.exp(0.5) - math.exp(-1)))


def test_cispo_keeps_the_gradient_of_a_clipped_token():
    # w = e^2 = 7.39, held at 2: loss = -2 * 3 * log p, gradient -6 and not 0.
    result, gradient = gradient_of("cispo", [(-1.0, -3.0, 3.0, 1.0)])
    assert (result.loss.item(), gradient) == (pytest.approx(6.0), pytest.approx([-6.0]))
    assert result.clipped_T.tolist() == [True]
    assert result.ratio_T.item() == pytest.approx(math.exp(2))


def test_the_dual_clip_bounds_what_a_bad_token_can_cost():
    # w = 4 and A = -1: without it the term is -4, with it -3 and no gradient; at w = 2 nothing changes.
    for ratio, loss, gradient, clipped in ((4.0, 3.0, 0.0, True), (2.0, 2.0, 2.0, False)):
        result, found = gradient_of("dual", [(math.log(0.2 * ratio), math.log(0.2), -1.0, 1.0)])
        assert (result.loss.item(), found) == (pytest.approx(loss), pytest.approx([gradient], abs=1e-12))
        assert result.clipped_T.tolist() == [clipped]


def test_gspo_by_hand():
    # Log-ratios 0.2, 0.4 and 0.3, -0.1: s = e^0.3 = 1.349859 and e^0.1 = 1.105171, thresholds 0.9 and 1.2.
    logprobs = numbers(-0.8, -0.6, -0.7, -1.1).requires_grad_()
    result = gspo_loss(
        logprobs, numbers(-1, -1, -1, -1), numbers(1, 1, -2, -2), numbers(0.25, 0.25, 0.25, 0.25), torch.tensor([2, 2]),
        clip_low_threshold=0.9, clip_high_threshold=1.2,
    )  # fmt: skip
    result.loss.backward()
    assert result.loss.item() == pytest.approx(-(0.5 * 1.2 - 0.5 * 2 * math.exp(0.1)))
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([0, 0, *[0.5 * 2 * math.exp(0.1) / 2] * 2])
    assert result.clipped_T.tolist() == [True, True, False, False]
    assert result.ratio_T.tolist() == pytest.approx([math.exp(0.3)] * 2 + [math.exp(0.1)] * 2)


@given(TOKENS, st.integers(1, 10))
def test_gspo_per_token_has_the_gradient_of_gspo_per_sequence(tokens: list, cut: int):
    """-sum_i c_i min(s_i A_i, clip(s_i) A_i) with s_i differentiable, for sequences of equal advantage."""
    logprobs, old, _, _ = numbers(*(x for token in tokens for x in token)).reshape(-1, 4).T
    lengths = [length for length in (min(cut, len(tokens)), len(tokens) - cut) if length > 0]
    signs, shares = [1.5, -2.0][: len(lengths)], [0.4, 0.6][: len(lengths)]
    leaf = logprobs.clone().requires_grad_()
    parts = zip((leaf - old).split(lengths), signs, shares, strict=True)
    ratios = [(part.mean().exp(), a, c) for part, a, c in parts]
    by_sequence = -sum(c * torch.minimum(s * a, s.clamp(LOW, HIGH) * a) for s, a, c in ratios)
    (expected,) = torch.autograd.grad(by_sequence, leaf)
    advantages = numbers(*(a for a, n in zip(signs, lengths, strict=True) for _ in range(n)))
    weights = numbers(*(c / n for c, n in zip(shares, lengths, strict=True) for _ in range(n)))
    limits = {"clip_low_threshold": LOW, "clip_high_threshold": HIGH}
    result = gspo_loss(leaf, old, advantages, weights, torch.tensor(lengths), **limits)
    (ours,) = torch.autograd.grad(result.loss, leaf)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)
    assert result.loss.item() == pytest.approx(by_sequence.item(), abs=1e-9)


@given(TOKENS)
def test_gspo_of_sequences_of_one_token_is_ppo(tokens: list):
    logprobs, old, advantages, weights = numbers(*(x for token in tokens for x in token)).reshape(-1, 4).T
    lengths = torch.ones(len(tokens), dtype=torch.long)
    limits = {"clip_low_threshold": LOW, "clip_high_threshold": HIGH}
    one = gspo_loss(logprobs, old, advantages, weights, lengths, **limits)
    other = ppo_loss(logprobs, old, advantages, weights, **limits)
    assert one.loss.item() == pytest.approx(other.loss.item(), abs=1e-9)


def test_decoupled_ppo_by_hand():
    """prox / q = 2 held at 1.5; u = p / prox = 1.1 within the clip: -(1.5 * 1.1 * A)."""
    q, prox = math.log(0.1), math.log(0.2)
    logprobs = numbers(math.log(0.22)).requires_grad_()
    weight = truncated_weight(numbers(prox), numbers(q), cap=1.5)
    result = ppo_loss(logprobs, numbers(prox), numbers(2.0), weight, clip_low_threshold=LOW, clip_high_threshold=HIGH)
    assert result.loss.item() == pytest.approx(-3.3)


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
