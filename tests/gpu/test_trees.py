"""Prefix trees on a GPU, by FlexAttention, against row-by-row passes of the stock model there."""

import pytest
import torch

from learner.forests import (
    IDENTICAL_LEAVES,
    ONE_A_PREFIX_OF_ANOTHER,
    OTHER_TEMPERATURES,
    AskedOf,
    gradients_of,
    in_order,
    loss_of,
    nested_rows,
    require_equal,
    stock_loss_and_gradients,
    trained,
)
from models.tiny import FAMILIES, stock_twin, tiny_policy
from turnwright.learner.verification import compare_layouts
from turnwright.learner.walk import walk_tree
from turnwright.models.forward import ScoreSettings
from turnwright.models.load import Policy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch.cuda.is_available() is false here"),
]
ROWS = {
    "nested": nested_rows,
    "identical": lambda: IDENTICAL_LEAVES,
    "prefix": lambda: ONE_A_PREFIX_OF_ANOTHER,
    "temperatures": lambda: OTHER_TEMPERATURES,
}


def on_gpu(family: str, dtype: torch.dtype = torch.float32) -> Policy:
    policy = tiny_policy(family, dtype=dtype)
    policy.model.to("cuda")
    return policy


def walked(policy: Policy, rows: list[AskedOf], budget: int) -> float:
    ordered, asked, shared = in_order(rows)
    losses: list[float] = []

    def visit(members, scores) -> None:
        loss = loss_of([ordered[member] for member in members], scores)
        loss.backward()
        losses.append(loss.item())

    walk_tree(policy, asked, shared, visit, ScoreSettings(entropy_gradient=True), budget=budget)
    return sum(losses)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("budget", [999, 60])
def test_loss_and_every_gradient_equal_the_stock_models(family: str, name: str, budget: int):
    policy, rows = on_gpu(family), ROWS[name]()
    expected_loss, expected = stock_loss_and_gradients(stock_twin(policy).cuda(), rows)
    loss = walked(policy, rows, budget)
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    # Matrix products of the GPU round differently in both passes; TF32 is off by default.
    require_equal(gradients_of(lambda: trained(policy)), expected, limit=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_verification_agrees(dtype: torch.dtype):
    policy = on_gpu("qwen3", dtype)
    _, asked, shared = in_order(nested_rows())
    found = compare_layouts(policy, asked, shared, ScoreSettings(), budget=999, gradients=True)
    assert found.agrees, found
