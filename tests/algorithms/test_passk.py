"""The best of k attempts: worked by hand, against its definition over all subsets, and against the exact gradient."""

from itertools import combinations, product
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.algorithms.passk import grpo_passk, grpo_passk_analytic, max_minus_second

REWARDS = st.lists(st.integers(-8, 8), min_size=2, max_size=7).map(lambda values: [value / 4 for value in values])


def rewards(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def by_definition(values: list[float], k: int) -> list[float]:
    """Mean over the k-subsets that contain i of what i adds to their maximum."""
    found: list[float] = []
    for i in range(len(values)):
        others = [value for j, value in enumerate(values) if j != i]
        gains = [max(*rest, values[i]) - max(rest) for rest in combinations(others, k - 1)]
        found.append(sum(gains) / len(gains))
    return found


def test_worked_by_hand():
    # k = 2 of (0, 1, 3): with 0: 0, 0; with 1: gains 1 over 0, 0 over 3; with 3: 3 over 0, 2 over 1.
    assert grpo_passk(rewards(0, 1, 3), k=2).tolist() == pytest.approx([0.0, 0.5, 2.5])
    # k = 3: the only subset; 3 exceeds the second by 2.
    assert grpo_passk(rewards(3, 0, 1), k=3).tolist() == pytest.approx([2.0, 0.0, 0.0])
    assert max_minus_second(rewards(0, 3, 1)).tolist() == pytest.approx([0.0, 2.0, 0.0])


def test_two_that_are_best_add_nothing_to_each_other():
    assert max_minus_second(rewards(1, 1, 0)).tolist() == [0.0, 0.0, 0.0]


@given(REWARDS, st.data())
def test_the_sorted_form_equals_its_definition(values: list[float], data: st.DataObject):
    k = data.draw(st.integers(2, len(values)))
    assert grpo_passk(rewards(*values), k=k).tolist() == pytest.approx(by_definition(values, k), abs=1e-9)


@given(REWARDS, st.data(), st.floats(-3, 3), st.floats(0.1, 5))
def test_a_shift_changes_nothing_and_a_scale_scales(values: list[float], data: st.DataObject, shift: float, by: float):
    k = data.draw(st.integers(2, len(values)))
    plain = grpo_passk(rewards(*values), k=k)
    moved = grpo_passk(rewards(*values) * by + shift, k=k)
    torch.testing.assert_close(moved, plain * by, rtol=0, atol=1e-9)


@given(REWARDS, st.data())
def test_the_order_of_attempts_does_not_matter(values: list[float], data: st.DataObject):
    k = data.draw(st.integers(2, len(values)))
    order = data.draw(st.permutations(range(len(values))))
    shuffled = grpo_passk(rewards(*(values[place] for place in order)), k=k)
    torch.testing.assert_close(shuffled, grpo_passk(rewards(*values), k=k)[list(order)], rtol=0, atol=1e-12)


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 1.0, 1.0), (-0.5, 0.25, 2.0)])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_its_expectation_is_the_gradient_of_the_best_of_k(values: tuple[float, ...], n: int):
    """(k/n) E[sum_i A_i grad log p_i] = grad E[max of k], over every outcome of n draws from a softmax policy."""
    logits = torch.tensor([0.3, -0.4, 0.9][: len(values)], dtype=torch.float64, requires_grad=True)
    actions = range(len(values))
    for k in range(2, n + 1):
        p = logits.softmax(0)
        best = sum(
            prod(p[a] for a in draw) * max(values[a] for a in draw)  # type: ignore[type-var]
            for draw in product(actions, repeat=k)
        )
        (exact,) = torch.autograd.grad(best, logits)
        logprobs = logits.log_softmax(0)
        expected = torch.zeros((), dtype=torch.float64)
        for draw in product(actions, repeat=n):
            chance = prod(float(p[a].detach()) for a in draw)
            advantages = grpo_passk(rewards(*(values[a] for a in draw)), k=k)
            expected = expected + chance * (k / n) * (advantages * logprobs[list(draw)]).sum()
        (estimated,) = torch.autograd.grad(expected, logits)
        torch.testing.assert_close(estimated, exact, rtol=0, atol=1e-9)


def test_the_analytic_form_worked_by_hand():
    # n = 4, w = 2, k = 2: C(2,2) / C(4,2) = 1/6 of the pairs miss, s = sqrt(5/36); of those with a wrong one 1/3 do.
    s = (5 / 36) ** 0.5 + 1e-6
    right, wrong = (1 / 6) / s, (1 / 6 - 1 / 3) / s
    assert grpo_passk_analytic(rewards(1, 0, 0, 1), k=2).tolist() == pytest.approx([right, wrong, wrong, right])


def test_the_analytic_form_has_nothing_to_gain_where_every_subset_succeeds():
    assert grpo_passk_analytic(rewards(1, 1, 1, 0), k=2).tolist() == [0.0] * 4


@given(st.integers(3, 9), st.data())
def test_the_analytic_form_is_standardised_over_attempts_of_subsets(n: int, data: st.DataObject):
    """Summed over attempts it is 0: the mean over subsets, each counted for its members, is subtracted."""
    wrong, k = data.draw(st.integers(1, n - 1)), data.draw(st.integers(2, n - 1))
    advantages = grpo_passk_analytic(rewards(*[0.0] * wrong, *[1.0] * (n - wrong)), k=k)
    assert advantages.sum().item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("k", [0, 1, 4])
def test_k_out_of_range(k: int):
    with pytest.raises(ValueError, match=f"between 2 and the 3 surviving attempts of a group: got {k}"):
        grpo_passk(rewards(1, 0, 0), k=k)


def test_what_the_analytic_form_refuses():
    with pytest.raises(ValueError, match="advantage_k < n: got k = n = 3"):
        grpo_passk_analytic(rewards(1, 0, 0), k=3)
    with pytest.raises(ValueError, match="needs rewards 0 and 1"):
        grpo_passk_analytic(rewards(1, 0.5, 0), k=2)
