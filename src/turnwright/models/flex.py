"""Attention over a prefix tree on a GPU: FlexAttention with a block mask from the tree's intervals.

Token j sees token i of the tree where i <= j < ends[i], and the whole path before the tree. Queries and keys are padded
to a few sizes, because a compiled kernel is made anew for every new shape.

Legend: H query heads, K key-value heads, P tokens of the path, N tokens of the tree, D head width.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch import _dynamo as dynamo
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import pad

from turnwright.models.tree import Tree
from turnwright.models.tree_attention import PathPiece

SMALLEST = 512
"""Tokens that a pass is padded to at least."""
MOST_KERNELS = 64
"""Padded sizes of queries and keys that occur together."""


class FlexView:
    """One pass over a tree laid out as [1, ., N, .], behind a path that an earlier pass computed."""

    def __init__(self, tree: Tree, path: Sequence[PathPiece] = ()) -> None:
        """Prepare for a tree whose tokens all see the whole path; keys and values of the pass are remembered."""
        self.tree = tree
        self.path = tuple(path)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._mask: Any = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attend along the tree and to the path."""
        self.keys.append(key)
        self.values.append(value)
        keys = torch.cat([*(piece.keys[layer] for piece in self.path), key], dim=2)
        values = torch.cat([*(piece.values[layer] for piece in self.path), value], dim=2)
        num_tokens, num_before = query.shape[2], keys.shape[2] - key.shape[2]
        num_queries, num_keys = padded_size(num_tokens), padded_size(keys.shape[2])
        if self._mask is None:
            self._mask = _block_mask(self.tree.ends.to(query.device), num_before, num_queries, num_keys)
        mixed = _kernel(query.device.type)(
            pad(query, (0, 0, 0, num_queries - num_tokens)),
            pad(keys, (0, 0, 0, num_keys - keys.shape[2])),
            pad(values, (0, 0, 0, num_keys - values.shape[2])),
            block_mask=self._mask,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return mixed[:, :, :num_tokens].transpose(1, 2)


def padded_size(num_tokens: int) -> int:
    """Return the size a pass is padded to: powers of two, and half way between them."""
    size = SMALLEST
    while size < num_tokens:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def _block_mask(ends: Tensor, num_before: int, num_queries: int, num_keys: int) -> Any:
    num_tokens = len(ends)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = key - num_before
        above = (own < 0) | ((own <= query) & (query < ends[own.clamp(0, num_tokens - 1)]))
        # A padded query sees one key, so that no row of scores is empty; its result is cut off.
        return torch.where(query < num_tokens, above, key == 0)

    return create_block_mask(sees, B=None, H=None, Q_LEN=num_queries, KV_LEN=num_keys, device=str(ends.device))


@cache
def _kernel(device: str) -> Any:
    # Without a GPU there is no backward pass and compiling takes longer than it saves.
    if device == "cpu":
        return flex_attention
    # One kernel per padded size; past PyTorch's limit of 8 the rest would run uncompiled.
    dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, MOST_KERNELS)
    return torch.compile(flex_attention, dynamic=False)
