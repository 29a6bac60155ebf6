"""Estimates of a divergence: by hand, against their definition, and by the gradient that they have in expectation."""

import math
from collections.abc import Sequence
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms import definitions
from algorithms.enumerable import Logits, Path, chance, exact_gradient, expected_gradient, gradient, logprobs, policy
from turnwright.algorithms.divergence import KlForm, k3, kl_penalty, log_ratio_to_reference
from turnwright.algorithms.reinforce_pp import penalised_returns


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
@settings(max_examples=20)
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


@given(POLICIES)
def test_in_expectation_the_form_of_grpo_has_the_gradient_of_the_divergence_the_other_way(numbers: list[float]):
    """That of KL(ref || p), on-policy; on tokens of another policy it has neither."""
    logits, _, reference = torch.tensor(numbers, dtype=torch.float64).reshape(3, 3)
    logits, reference = logits.clone().requires_grad_(), reference.log_softmax(0)
    logprobs = logits.log_softmax(0)
    penalty = kl_penalty(logprobs, reference, logprobs.detach(), form="grpo_k3")
    (ours,) = torch.autograd.grad((logprobs.detach().exp() * penalty).sum(), logits, retain_graph=True)
    (other_way,) = torch.autograd.grad((reference.exp() * (reference - logprobs)).sum(), logits)
    torch.testing.assert_close(ours, other_way, rtol=0, atol=1e-9)


def test_how_far_the_form_of_grpo_is_off():
    """p = (0.99, 0.01), ref = (0.5, 0.5): by the first logit p0 p1 log(99) = 0.0455, p0 - ref0 = 0.49, eleven times.

    Towards a reference that is surer than the policy it is the other way round: p0 p1 log(1/99) = -1.149 and -0.49.
    """
    for p, ref, right, of_grpo in ((0.99, 0.5, 0.0454922, 0.49), (0.5, 0.99, -1.1487800, -0.49)):
        logits = torch.tensor([p, 1 - p], dtype=torch.float64).log().requires_grad_()
        reference = torch.tensor([ref, 1 - ref], dtype=torch.float64).log()
        logprobs = logits.log_softmax(0)
        assert divergence_gradient(logits, reference)[0].item() == pytest.approx(right, abs=1e-6)
        gradients: dict[KlForm, float] = {"k2": right, "k3": right, "grpo_k3": of_grpo}
        for form, expected in gradients.items():
            penalty = kl_penalty(logprobs, reference, logprobs.detach(), form=form)
            (found,) = torch.autograd.grad((logprobs.detach().exp() * penalty).sum(), logits, retain_graph=True)
            assert found[0].item() == pytest.approx(expected, abs=1e-6), form


TOKENS = st.lists(st.tuples(st.floats(-4, 0), st.floats(-4, 0), st.floats(-4, 0)), min_size=1, max_size=6)


@pytest.mark.parametrize("form", get_args(KlForm))
@settings(max_examples=20)
@given(TOKENS)
def test_value_and_gradient_are_those_of_the_definition(form: KlForm, tokens: list[tuple[float, float, float]]):
    p, ref, q = (torch.tensor(column, dtype=torch.float64) for column in zip(*tokens, strict=True))
    p.requires_grad_()
    penalty = kl_penalty(p, ref, q, form=form)
    (gradient,) = torch.autograd.grad(penalty.sum(), p)
    step = 1e-5
    for (at, *others), value, slope in zip(tokens, penalty.tolist(), gradient.tolist(), strict=True):
        low, mid, high = (definitions.kl_penalty(at + by, *others, form=form, held=at) for by in (-step, 0, step))
        assert value == pytest.approx(mid, rel=1e-9, abs=1e-9)
        assert slope == pytest.approx((high - low) / (2 * step), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("form", ["k3", "grpo_k3"])
def test_the_gradient_is_that_of_the_value_where_nothing_is_held(form: KlForm):
    p, ref, q = torch.tensor([[-1.0, -0.3], [-1.4, -0.2], [-0.8, -0.9]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda leaf: kl_penalty(leaf, ref, q, form=form), p.requires_grad_())


@pytest.mark.parametrize("form", get_args(KlForm))
@settings(max_examples=20)
@given(TOKENS)
def test_at_the_reference_there_is_no_penalty_and_nothing_pulls(form: KlForm, tokens: list):
    p, _, q = (torch.tensor(column, dtype=torch.float64) for column in zip(*tokens, strict=True))
    p.requires_grad_()
    penalty = kl_penalty(p, p.detach(), q, form=form)
    assert penalty.tolist() == [0.0] * len(tokens)
    assert torch.autograd.grad(penalty.sum(), p)[0].tolist() == [0.0] * len(tokens)


@pytest.mark.parametrize("form", get_args(KlForm))
@settings(max_examples=20)
@given(TOKENS, st.floats(-2, 2))
def test_only_ratios_count_and_no_penalty_is_negative(form: KlForm, tokens: list, by: float):
    p, ref, q = (torch.tensor(column, dtype=torch.float64) for column in zip(*tokens, strict=True))
    penalty = kl_penalty(p, ref, q, form=form)
    torch.testing.assert_close(kl_penalty(p + by, ref + by, q + by, form=form), penalty, rtol=1e-7, atol=1e-12)
    assert (penalty >= -1e-15).all()


# Two tokens, the second under what the first was: p and ref per state, and the exact divergence over whole attempts.
ATTEMPTS = [Path(decisions=((0, a), (1 + a, b)), rewards=(0.0, 0.0)) for a in range(2) for b in range(2)]
TRAINED = ((0.4, -0.3), (1.2, -0.5), (-0.2, 0.6))
REFERENCE = policy((-0.1, 0.2), (-0.4, 0.3), (0.9, 0.1))


def divergence(path: Path, logits: Logits) -> torch.Tensor:
    return (logprobs(path, logits) - logprobs(path, REFERENCE)).sum()


def test_in_the_reward_it_is_the_divergence_over_whole_attempts():
    """A token answers for all that follow: R - beta sum_{s >= t} KL_s, with R = 0 and beta = 1."""
    logits = policy(*TRAINED)

    def penalised(group: Sequence[Path]) -> list[list[float]]:
        return [
            penalised_returns(
                0.0, log_ratio_to_reference(logprobs(path, logits), logprobs(path, REFERENCE)), kl_coefficient=1.0
            ).tolist()
            for path in group
        ]  # fmt: skip

    exact = exact_gradient(ATTEMPTS, logits, lambda path: divergence(path, logits))
    torch.testing.assert_close(-expected_gradient(ATTEMPTS, logits, penalised, n=1), exact, rtol=0, atol=1e-9)


def test_in_the_loss_each_token_answers_for_itself_alone():
    """The divergence at its own state: last tokens agree with the whole, what the first one leads to is left out."""
    logits = policy(*TRAINED)
    likely = [chance(path, logits).item() for path in ATTEMPTS]
    terms = [
        weight * kl_penalty(p, ref.detach(), p.detach(), form="k2").sum()
        for path, weight in zip(ATTEMPTS, likely, strict=True)
        for p, ref in [(logprobs(path, logits), logprobs(path, REFERENCE))]
    ]
    found = gradient(torch.stack(terms).sum(), logits)
    exact = exact_gradient(ATTEMPTS, logits, lambda path: divergence(path, logits))
    alone = divergence_gradient(logits[0], REFERENCE[0].log_softmax(0).detach())
    torch.testing.assert_close(found[2:], exact[2:], rtol=0, atol=1e-9)
    torch.testing.assert_close(found[:2], alone, rtol=0, atol=1e-9)
    assert (found[:2] - exact[:2]).norm() > 0.2 * exact[:2].norm()
