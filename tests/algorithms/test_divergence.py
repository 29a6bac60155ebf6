import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.divergence import k3


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
