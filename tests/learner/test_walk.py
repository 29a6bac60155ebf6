import gc
import weakref
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from learner.forests import (
    DIVERGENT_FIRST_TOKEN,
    IDENTICAL_LEAVES,
    ONE_A_PREFIX_OF_ANOTHER,
    OTHER_MASKS,
    OTHER_TEMPERATURES,
    AskedOf,
    errors_of,
    forests,
    gradients_of,
    in_order,
    loss_of,
    nested_rows,
    require_equal,
    stock_loss_and_gradients,
    stock_scores,
    trained,
)
from models.adapted import adapted_policy
from models.tiny import FAMILIES, stock_twin, tiny_policy
from turnwright.learner.walk import WalkReport, walk_rows, walk_tree
from turnwright.models.attention import ATTENTION_NAME
from turnwright.models.forward import ScoreSettings, TokenScores
from turnwright.models.load import Policy

POLICIES = {family: tiny_policy(family, dtype=torch.float64) for family in FAMILIES}
"""In double precision, where a mistake cannot hide in rounding."""
TWINS = {family: stock_twin(policy, "sdpa") for family, policy in POLICIES.items()}
"""Not with eager attention, which takes its softmax in float32 in any case."""
SINGLE = {family: tiny_policy(family) for family in FAMILIES}
EXACT = 2e-6
"""Of gradients: the stock models have their norms in float32."""
CASES = (DIVERGENT_FIRST_TOKEN, ONE_A_PREFIX_OF_ANOTHER, IDENTICAL_LEAVES, OTHER_MASKS, OTHER_TEMPERATURES)
EVERYTHING = ScoreSettings(entropy_gradient=True)


def walked(
    policy: Policy, rows: Sequence[AskedOf], budget: int, scoring: ScoreSettings = EVERYTHING
) -> tuple[float, WalkReport]:
    """Walk rows as a tree, leave the gradient, return the loss."""
    ordered, asked, shared = in_order(rows)
    losses: list[float] = []

    def visit(members: Sequence[int], scores: TokenScores) -> None:
        loss = loss_of([ordered[member] for member in members], scores)
        loss.backward()
        losses.append(loss.item())

    report = walk_tree(policy, asked, shared, visit, scoring, budget=budget)
    return sum(losses), report


@pytest.mark.parametrize("family", FAMILIES)
@example(rows=DIVERGENT_FIRST_TOKEN, budget=99)
@example(rows=ONE_A_PREFIX_OF_ANOTHER, budget=99)
@example(rows=ONE_A_PREFIX_OF_ANOTHER, budget=1)
@example(rows=IDENTICAL_LEAVES, budget=99)
@example(rows=IDENTICAL_LEAVES, budget=1)
@example(rows=OTHER_MASKS, budget=99)
@example(rows=OTHER_MASKS, budget=4)
@example(rows=OTHER_TEMPERATURES, budget=99)
@settings(max_examples=8)
@given(rows=forests(), budget=st.integers(1, 40))
def test_loss_and_every_gradient_of_a_tree_equal_the_stock_models(family: str, rows: list[AskedOf], budget: int):
    require_exact(family, rows, budget)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=150)
@given(rows=forests(), budget=st.integers(1, 40))
def test_many_more_trees_are_exact(family: str, rows: list[AskedOf], budget: int):
    require_exact(family, rows, budget)


def require_exact(family: str, rows: list[AskedOf], budget: int) -> None:
    policy, twin = POLICIES[family], TWINS[family]
    expected_loss, expected = stock_loss_and_gradients(twin, rows)
    loss, report = walked(policy, rows, budget)
    assert loss == pytest.approx(expected_loss, rel=1e-6, abs=1e-6)
    require_equal(gradients_of(lambda: trained(policy)), expected, limit=EXACT)
    prefixes = {row.token_ids[:stop] for row in rows for stop in range(1, len(row.token_ids) + 1)}
    assert report.num_tokens == len(prefixes)
    if len(prefixes) <= budget:
        assert report.num_passes == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_dense_pass_equals_the_stock_model(family: str):
    policy, rows = POLICIES[family], [*ONE_A_PREFIX_OF_ANOTHER, *DIVERGENT_FIRST_TOKEN, *OTHER_TEMPERATURES]
    expected_loss, expected = stock_loss_and_gradients(TWINS[family], rows)
    asked = in_order(rows)[1]
    ordered = in_order(rows)[0]
    losses: list[float] = []

    def visit(members: Sequence[int], scores: TokenScores) -> None:
        loss = loss_of([ordered[member] for member in members], scores)
        loss.backward()
        losses.append(loss.item())

    report = walk_rows(policy, asked, visit, EVERYTHING)
    assert sum(losses) == pytest.approx(expected_loss, rel=1e-6, abs=1e-6)
    require_equal(gradients_of(lambda: trained(policy)), expected, limit=EXACT)
    assert report == WalkReport(num_passes=1, num_tokens=21, max_tokens_held=21)


class TokensHeld:
    """Counts the tokens whose activations the gate of the first layer's MLP is holding for a backward pass."""

    def __init__(self, policy: Policy) -> None:
        self.width = int(policy.model.config.intermediate_size)
        self.most = 0
        self._held: weakref.WeakSet[Held] = weakref.WeakSet()

    def pack(self, tensor: torch.Tensor) -> "Held":
        held = Held(tensor)
        if tensor.ndim == 3 and tensor.shape[-1] == self.width:
            self._held.add(held)
            # Three tensors of this width are saved per layer and token: the gate, what it lets through, the product.
            self.most = max(self.most, sum(one.tensor.shape[1] for one in self._held))
        return held


class Held:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def tokens_held(budget: int) -> tuple[int, WalkReport]:
    policy = tiny_policy("llama")
    counted = TokensHeld(policy)
    with torch.autograd.graph.saved_tensors_hooks(counted.pack, lambda held: held.tensor):
        gc.collect()
        _, report = walked(policy, nested_rows(), budget)
    return counted.most, report


def test_no_more_than_a_path_and_one_chunk_is_held():
    whole, report = tokens_held(999)
    assert (report.num_passes, report.num_tokens, report.max_tokens_held) == (1, 188, 188)
    tight, walked_report = tokens_held(40)
    # Behind 20 + 10 tokens there is room for one leaf of 8: a pass per leaf, per inner trunk, and the outer trunk.
    assert (walked_report.num_passes, walked_report.num_tokens) == (21, 188)
    assert walked_report.max_tokens_held == 38
    assert tight / whole == pytest.approx(38 / 188, rel=1e-6)


def test_a_tree_of_any_depth_is_walked_exactly():
    policy = POLICIES["qwen3"]
    expected_loss, expected = stock_loss_and_gradients(TWINS["qwen3"], nested_rows())
    for budget in (40, 60, 100):
        loss, report = walked(policy, nested_rows(), budget)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        require_equal(gradients_of(lambda: trained(policy)), expected, limit=EXACT)
        assert report.max_tokens_held <= budget


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=75)
@given(rows=forests(), budget=st.integers(1, 40))
def test_in_single_precision_all_gradients_are_close(family: str, rows: list[AskedOf], budget: int):
    _, expected = stock_loss_and_gradients(TWINS[family], rows)
    walked(SINGLE[family], rows, budget)
    # Single tensors may be further off, by float32's own rounding: so is the stock model.
    errors = errors_of(gradients_of(lambda: trained(SINGLE[family])), expected, floor=1.0)
    assert max(errors.values()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_in_single_precision_a_tree_is_as_exact_as_the_stock_model(family: str):
    policy = SINGLE[family]
    stock = stock_twin(policy)
    ours, theirs = [], []
    for rows in (nested_rows(), *CASES):
        _, expected = stock_loss_and_gradients(TWINS[family], rows)
        theirs += errors_of(stock_loss_and_gradients(stock, rows)[1], expected).values()
        for budget in (99, 40):
            walked(policy, rows, budget)
            ours += errors_of(gradients_of(lambda: trained(policy)), expected).values()
    assert fmean(ours) < 1.5 * fmean(theirs) < 1e-5
    assert max(ours) < 1e-5


def test_the_same_walk_gives_the_same_bits():
    policy = POLICIES["qwen3"]
    found = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            loss, _ = walked(policy, nested_rows(), 60)
            found.append((loss, gradients_of(lambda: trained(policy))))
    finally:
        torch.use_deterministic_algorithms(False)
    assert found[0][0] == found[1][0]
    assert all(torch.equal(found[0][1][name], gradient) for name, gradient in found[1][1].items())


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_have_the_stock_models_gradients(family: str, tmp_path: Path):
    policy = adapted_policy(tmp_path, family)
    rows = [*nested_rows(), *IDENTICAL_LEAVES, *OTHER_TEMPERATURES]
    policy.model.set_attn_implementation("eager")
    total = sum(loss_of([row], stock_scores(policy.model, row)) for row in rows)
    total.backward()
    expected = gradients_of(lambda: trained(policy))
    policy.model.set_attn_implementation(ATTENTION_NAME)
    assert expected
    assert all("lora_" in name for name in expected)
    for budget in (999, 60):
        loss, _ = walked(policy, rows, budget)
        assert loss == pytest.approx(total.item(), rel=1e-5)
        require_equal(gradients_of(lambda: trained(policy)), expected)
