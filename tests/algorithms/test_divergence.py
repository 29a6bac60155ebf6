import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.divergence import KlForm, k3, kl_penalty, log_ratio_to_reference


def test_k3_by_hand():
    # p = (0.5, 0.2, 0.4), q = (0.25, 0.4, 0.4): w = 2, 0.5, 1, and k3 = w - 1 - log w
    values = k3(torch.tensor([0.5, 0.2, 0.4]).log(), torch.tensor([0.25, 0.4, 0.4]).log())
    assert values.tolist() == pytest.approx([1 - math.log(2), math.log(2) - 0.5, 0.0], abs=1e-6)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.lists(st.floats(0.01, 1), min_size=6, max_size=6))
def test_its_expectation_under_the_sampler_is_the_divergence(sampler: list[float], policy: list[float]):
    q = torch.tensor(sampler, dtype=torch.float64)
    p = torch.tensor(policy[: len(sampler)], dtype=torch.float64)
    q, p = q / q.sum(), p / p.sum()
    exact = (q * (q / p).log()).sum().item()
    assert (q * k3(p.log(), q.log())).sum().item() == pytest.approx(exact, abs=1e-9)


@given(st.floats(-9, 0), st.floats(-9, 0))
def test_it_is_never_negative(logprob: float, sampled: float):
    assert k3(torch.tensor([logprob]), torch.tensor([sampled])).item() >= 0


def test_it_resolves_gaps_that_float32_would_round_away():
    # w - 1 - log w = d^2 / 2 for small d; computed as exp(d) - 1 - d in float32 it would be 0 or noise of 1e-7.
    value = k3(torch.tensor([-1.0 + 2.0**-14]), torch.tensor([-1.0])).item()
    assert value == pytest.approx(2.0**-29, rel=0.05)


POLICIES = st.lists(st.floats(-2, 2), min_size=9, max_size=9)


def divergence_gradient(logits: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    logprobs = logits.log_softmax(0)
    (gradient,) = torch.autograd.grad((logprobs.exp() * (logprobs - reference)).sum(), logits)
    return gradient


@pytest.mark.parametrize("form", ["k2", "k3"])
@given(POLICIES)
def test_the_expected_gradient_of_a_penalty_is_that_of_the_divergence(form: KlForm, numbers: list[float]):
    """Over every token of three, drawn from another policy than the one in training."""
    logits, sampler, reference = torch.tensor(numbers, dtype=torch.float64).reshape(3, 3)
    logits = logits.clone().requires_grad_()
    q, reference = sampler.log_softmax(0), reference.log_softmax(0)
    expected = (q.exp() * kl_penalty(logits.log_softmax(0), reference, q, form=form)).sum()
    (ours,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(ours, divergence_gradient(logits, reference), rtol=0, atol=1e-9)


@given(POLICIES)
def test_the_penalty_in_the_reward_has_the_gradient_of_the_divergence(numbers: list[float]):
    logits, _, reference = torch.tensor(numbers, dtype=torch.float64).reshape(3, 3)
    logits = logits.clone().requires_grad_()
    logprobs, reference = logits.log_softmax(0), reference.log_softmax(0)
    penalty = log_ratio_to_reference(logprobs, reference)
    (ours,) = torch.autograd.grad((logprobs.exp().detach() * penalty * logprobs).sum(), logits)
    torch.testing.assert_close(ours, divergence_gradient(logits, reference), rtol=0, atol=1e-9)


def test_the_form_of_grpo_is_another_gradient():
    """On-policy d/dlogp of exp(-d) - 1 + d is 1 - ref/p, where the divergence has log p/ref."""
    logprobs = torch.tensor([0.5, 0.5], dtype=torch.float64).log().requires_grad_()
    reference = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    penalty = kl_penalty(logprobs, reference, logprobs.detach(), form="grpo_k3")
    (gradient,) = torch.autograd.grad(penalty.sum(), logprobs)
    assert gradient.tolist() == pytest.approx([0.5, -0.5])
    assert kl_penalty(logprobs, reference, logprobs.detach(), form="k3").tolist() == pytest.approx(penalty.tolist())
