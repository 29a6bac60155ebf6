"""Attention over a prefix tree on a CPU: each run causal in itself, each branch without a mask, joined exactly.

A token sees its own run and the branches its run hangs from. Each is one call of the fused kernel over contiguous
tokens, so nothing is copied, padded or masked, and as many pairs are computed as the tree has. With o_b the result and
l_b the log-sum-exp of the scores of part b, the joint result is

    l = log sum_b exp l_b        o = sum_b exp(l_b - l) o_b

The kernel's backward pass needs only o and l, and is right for one part when it is given the joint ones (as in ring
attention, arXiv:2310.01889), so gradients of parts add up.

Legend: H query heads, K key-value heads, N tokens of the tree, D head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from turnwright.core.errors import UnsupportedModelError
from turnwright.models.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPiece:
    """Keys and values of a part of the path before a tree, per layer [1, K, P, D]."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


class TreeView:
    """One pass over a tree laid out as [1, ., N, .], behind a path that an earlier pass computed."""

    def __init__(self, tree: Tree, path: Sequence[PathPiece] = ()) -> None:
        """Prepare for a tree whose tokens all see the whole path; keys and values of the pass are remembered."""
        self.tree = tree
        self.path = tuple(path)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attend along the tree and to the path."""
        if query.shape[-1] != value.shape[-1]:
            raise UnsupportedModelError(
                f"prefix trees need values as wide as queries: got {value.shape[-1]} and {query.shape[-1]}; "
                "set learner.layout = 'dense'"
            )
        self.keys.append(key)
        self.values.append(value)
        path = [tensor for piece in self.path for tensor in (piece.keys[layer], piece.values[layer])]
        mixed = cast(Tensor, _TreeAttention.apply(self.tree, scaling, query, key, value, *path))
        return mixed.transpose(1, 2)


class _TreeAttention(torch.autograd.Function):
    """Query [1, H, N, D], key and value [1, K, N, D], keys and values of the path in, [1, H, N, D] out."""

    @staticmethod
    def forward(
        ctx: Any, tree: Tree, scaling: float, query: Tensor, key: Tensor, value: Tensor, *path: Tensor
    ) -> Tensor:
        # Parts are joined in fp32 at least, whatever the model's precision is.
        precision = torch.promote_types(query.dtype, torch.float32)
        mixed = torch.empty_like(query, dtype=precision)
        sums = query.new_empty(query.shape[:3], dtype=precision)
        for start, stop in tree.runs:
            own = slice(start, stop)
            mixed[:, :, own], sums[:, :, own] = _forward(
                query[:, :, own], key[:, :, own], value[:, :, own], 0.0, True, scale=scaling
            )
        for rows, seen_keys, seen_values in _seen(tree, key, value, path):
            part, part_sums = _forward(query[:, :, rows], seen_keys, seen_values, 0.0, False, scale=scaling)
            joint = torch.logaddexp(sums[:, :, rows], part_sums)
            mixed[:, :, rows] *= (sums[:, :, rows] - joint).exp_()[..., None]
            mixed[:, :, rows] += part * (part_sums - joint).exp_()[..., None]
            sums[:, :, rows] = joint
        mixed = mixed.to(query.dtype)
        ctx.tree, ctx.scaling = tree, scaling
        ctx.save_for_backward(query, key, value, mixed, sums, *path)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mixed, sums, *path = ctx.saved_tensors
        tree = ctx.tree
        grad_query, grad_key, grad_value, *grad_path = (
            torch.empty_like(tensor, dtype=sums.dtype) for tensor in (query, key, value, *path)
        )

        def part(rows: slice, keys: Tensor, values: Tensor, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
            return _backward(
                grad[:, :, rows], query[:, :, rows], keys, values, mixed[:, :, rows], sums[:, :, rows], 0.0, causal,
                scale=ctx.scaling,
            )  # fmt: skip

        # Runs cover the layout, so they write; branches then add.
        for start, stop in tree.runs:
            own = slice(start, stop)
            found = part(own, key[:, :, own], value[:, :, own], True)
            grad_query[:, :, own], grad_key[:, :, own], grad_value[:, :, own] = found
        for branch in tree.branches:
            rows, seen = slice(branch.start, branch.stop), slice(branch.key_start, branch.key_stop)
            found = part(rows, key[:, :, seen], value[:, :, seen], False)
            grad_query[:, :, rows] += found[0]
            grad_key[:, :, seen] += found[1]
            grad_value[:, :, seen] += found[2]
        for number in range(0, len(path), 2):
            found = part(slice(None), path[number], path[number + 1], False)
            grad_query += found[0]
            grad_path[number : number + 2] = found[1:]
        grads = zip((grad_query, grad_key, grad_value, *grad_path), (query, key, value, *path), strict=True)
        return None, None, *(found.to(tensor.dtype) for found, tensor in grads)


def _seen(tree: Tree, key: Tensor, value: Tensor, path: Sequence[Tensor]) -> list[tuple[slice, Tensor, Tensor]]:
    """Return what tokens see besides their own run: which tokens, keys, values."""
    pieces = [(slice(None), path[number], path[number + 1]) for number in range(0, len(path), 2)]
    for branch in tree.branches:
        seen = slice(branch.key_start, branch.key_stop)
        pieces.append((slice(branch.start, branch.stop), key[:, :, seen], value[:, :, seen]))
    return pieces


def _forward(*arguments: Any, scale: float) -> tuple[Tensor, Tensor]:
    # Looked up when called: a PyTorch without it still runs dense passes.
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*arguments, scale=scale)


def _backward(*arguments: Any, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(*arguments, scale=scale)
