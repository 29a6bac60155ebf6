"""FlexAttention's forward pass runs on a CPU too; its gradients are tested on a GPU (tests/gpu)."""

import random

import pytest
import torch

from models.tiny import tiny_policy
from turnwright.models.flex import FlexView, padded_size
from turnwright.models.forward import tree_states
from turnwright.models.tree import build_tree, order_rows
from turnwright.models.tree_attention import PathPiece, TreeView


def random_rows(seed: int) -> tuple[list[torch.Tensor], tuple[int, ...]]:
    generator = random.Random(seed)
    rows = [(7, 8, 9, *(generator.randrange(2) for _ in range(generator.randint(1, 9)))) for _ in range(6)]
    order = order_rows(rows, [0] * len(rows))
    return [torch.tensor(rows[index]) for index in order.rows], order.shared


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize(("family", "behind"), [("qwen3", 0), ("llama", 3)])
@torch.no_grad()
def test_a_block_mask_computes_what_branches_compute(family: str, behind: int):
    policy = tiny_policy(family)
    rows, shared = random_rows(behind)
    path: list[PathPiece] = []
    if behind:
        trunk = TreeView(build_tree([rows[0][:behind]], [0]))
        tree_states(policy, trunk.tree, trunk)
        path = [PathPiece(keys=tuple(trunk.keys), values=tuple(trunk.values))]
    tree = build_tree(rows, shared, behind=behind)
    expected = tree_states(policy, tree, TreeView(tree, path))
    found = tree_states(policy, tree, FlexView(tree, path))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_passes_are_padded_to_few_sizes():
    assert [padded_size(count) for count in (1, 512, 513, 768, 769, 1025, 1537)] == [
        512,
        512,
        768,
        768,
        1024,
        1536,
        2048,
    ]
    assert len({padded_size(count) for count in range(1, 8193)}) == 9
