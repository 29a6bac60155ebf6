"""Attention over shared prefixes: one attention function for every Hugging Face decoder, fed by a *view*.

A forward pass of ours calls ``model(..., kv=view)``. Hugging Face hands the keyword down to every layer's attention,
which asks the view to attend. The view owns what keys and values exist beyond the tokens of this pass:

    PrefixView        nothing before; remembers the keys and values of a prefix        (engine)
    RowsView          rows one after the other, sharing nothing                        (learner, dense layout)
    TreeView          the tree of rows that share prefixes, behind a path, on a CPU    (learner; tree_attention.py)
    FlexView          the same on a GPU                                                (learner; flex.py)
    SlotView          rows of unequal length in preallocated slots, behind prefixes    (inference/local_cache.py)

Legend: B rows, H query heads, K key-value heads, S tokens of this pass, P prefix tokens, D head width.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from turnwright.core.errors import UnsupportedModelError

ATTENTION_NAME = "turnwright"


class KeyValueView(Protocol):
    """Where a layer's keys and values go and what they attend to."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Return [B, S, H, D] from query [B, H, S, D] and the pass's own key and value [B, K, S, D]."""
        ...


def attend_through_view(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    kv: KeyValueView | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as Hugging Face's attention interface asks, refusing what a view would silently drop."""
    for name in ("sliding_window", "softcap", "s_aux"):
        if options.get(name) is not None:
            raise UnsupportedModelError(
                f"attention option {name}={options[name]!r} of {type(module).__name__} is not supported: "
                "use a model with full causal attention"
            )
    if attention_mask is not None:
        raise UnsupportedModelError("attention masks are not supported: pass right-padded rows and a view")
    if kv is None:
        raise UnsupportedModelError("a pass of a policy needs a view: call Policy.hidden_states, not the model itself")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return kv.attend(int(module.layer_idx), query, key, value, scale), None  # pyright: ignore[reportArgumentType]


AttentionInterface.register(ATTENTION_NAME, attend_through_view)


class PrefixView:
    """A plain causal pass from position 0; afterwards ``keys[layer]`` and ``values[layer]`` are [B, K, P, D]."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    @property
    def length(self) -> int:
        """Tokens remembered."""
        return self.keys[0].shape[2] if self.keys else 0

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attend causally and remember the layer's keys and values."""
        if layer != len(self.keys):
            raise UnsupportedModelError(f"layers must run in order: got layer {layer}, expected {len(self.keys)}")
        self.keys.append(key)
        self.values.append(value)
        mixed = scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
        )
        return mixed.transpose(1, 2)


class RowsView:
    """Rows laid out one after the other as one [1, ., N, .], each causal in itself: no padding and no mask."""

    def __init__(self, lengths: Sequence[int]) -> None:
        """Prepare for rows of these lengths, which sum to N."""
        self.lengths = list(lengths)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attend row by row."""
        grouped = query.shape[1] != key.shape[1]
        # Splitting has a cheap gradient, one concatenation; that of slicing fills a tensor of N tokens per slice.
        rows = zip(*(tensor.split(self.lengths, dim=2) for tensor in (query, key, value)), strict=True)
        mixed = [scaled_dot_product_attention(*row, is_causal=True, scale=scaling, enable_gqa=grouped) for row in rows]
        return torch.cat(mixed, dim=2).transpose(1, 2)
