"""KV of the local engine: preallocated slots for episodes, shared prefixes once.

A sequence is a *prefix* (system text and tools, the same for many episodes, computed once) followed by the tokens of
its slot. Attention joins both parts in one softmax, so that the prefix is read once per pass instead of once per row:
on a CPU, decoding is bound by reading KV, and the prefix is most of it.

Legend: B rows of the pass, S tokens per row, K key-value heads, G query heads per key-value head, P prefix tokens,
T slot positions, D head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from turnwright.models.attention import PrefixView
from turnwright.models.load import Policy


@dataclass(slots=True, kw_only=True)
class SlotCache:
    """Preallocated keys and values: per layer [slots, K, T + 1, D]; the last position takes writes of padding."""

    keys: list[Tensor]
    values: list[Tensor]
    num_positions: int

    @classmethod
    def allocate(cls, policy: Policy, num_slots: int, num_positions: int) -> "SlotCache":
        """Allocate zeroed KV for ``num_slots`` sequences of ``num_positions`` tokens."""
        config = policy.model.config
        heads, width = key_value_shape(policy)
        shape = (num_slots, heads, num_positions + 1, width)
        zeros = [
            torch.zeros(shape, dtype=policy.model.dtype, device=policy.device)
            for _ in range(2 * config.num_hidden_layers)
        ]
        return cls(keys=zeros[::2], values=zeros[1::2], num_positions=num_positions)

    def copy(self, source: int, targets: Sequence[int], num_tokens: int) -> None:
        """Copy the first tokens of one slot to others: the members of a group share their prompt."""
        index = torch.tensor(targets)
        for tensors in (self.keys, self.values):
            for layer in tensors:
                layer[index, :, :num_tokens] = layer[source, :, :num_tokens]


def key_value_shape(policy: Policy) -> tuple[int, int]:
    """Return (key-value heads, head width) of a model."""
    config = policy.model.config
    heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    return heads, width


def bytes_per_token(policy: Policy) -> int:
    """Return the KV bytes of one token over all layers."""
    heads, width = key_value_shape(policy)
    return 2 * policy.model.config.num_hidden_layers * heads * width * policy.model.dtype.itemsize


@dataclass(slots=True, kw_only=True)
class SlotView:
    """One pass over rows of unequal length: row b appends S tokens to its slot and attends to prefix and slot."""

    cache: SlotCache
    slots: Tensor
    """[B] slot of each row."""
    lengths: Tensor
    """[B] tokens already in each slot."""
    num_new: Tensor
    """[B] tokens of this pass that are real; the rest is right padding."""
    prefixes: Sequence[tuple[PrefixView, Tensor]]
    """Each prefix in use with the rows [b] behind it; rows in no entry have no prefix."""
    num_tokens: int
    contiguous: bool = False
    """The slots are 0..B-1: attention reads them in place instead of gathering them."""
    write_positions: Tensor = field(init=False)
    mask: Tensor = field(init=False)
    num_visible: int = field(init=False)

    def __post_init__(self) -> None:
        """Compute what all layers share: where tokens are written and what they may see."""
        offsets = torch.arange(self.num_tokens, device=self.lengths.device)
        own = self.lengths[:, None] + offsets
        self.write_positions = torch.where(offsets < self.num_new[:, None], own, self.cache.num_positions)
        self.num_visible = int((self.lengths + self.num_new).max())
        visible = torch.arange(self.num_visible, device=self.lengths.device)
        mask = torch.zeros(len(self.slots), 1, 1, self.num_tokens, self.num_visible, device=self.lengths.device)
        self.mask = mask.masked_fill_((visible > own[..., None])[:, None, None], float("-inf"))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Write the pass's keys and values into the slots; return the mixed values [B, S, H, D]."""
        num_rows, num_heads, num_tokens, width = query.shape
        num_kv = key.shape[1]
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys[self.slots[:, None], :, self.write_positions] = key.transpose(1, 2)
        values[self.slots[:, None], :, self.write_positions] = value.transpose(1, 2)
        rows = slice(0, num_rows) if self.contiguous else self.slots
        keys, values = keys[rows, :, : self.num_visible], values[rows, :, : self.num_visible]
        # [B, K, G * S, D]: the query heads that share a key-value head form one matrix.
        stacked = (query * scaling).reshape(num_rows, num_kv, -1, width)
        own = (stacked @ keys.transpose(2, 3)).view(num_rows, num_kv, -1, num_tokens, self.num_visible)
        own = (own + self.mask.to(own.dtype)).view(num_rows, num_kv, -1, self.num_visible)
        if not self.prefixes:
            mixed = own.softmax(-1, dtype=torch.float32).to(values.dtype) @ values
        elif len(self.prefixes) == 1 and len(self.prefixes[0][1]) == num_rows:
            mixed = _attend_jointly(stacked, own, values, self.prefixes[0][0], layer)
        else:
            mixed = own.softmax(-1, dtype=torch.float32).to(values.dtype) @ values
            for prefix, members in self.prefixes:
                mixed[members] = _attend_jointly(stacked[members], own[members], values[members], prefix, layer)
        return mixed.reshape(num_rows, num_heads, num_tokens, width).transpose(1, 2)


def _attend_jointly(stacked: Tensor, own: Tensor, values: Tensor, prefix: PrefixView, layer: int) -> Tensor:
    """Softmax over prefix and own scores together; the prefix's part is one matrix product for all rows."""
    num_rows, num_kv, num_queries, width = stacked.shape
    prefix_keys, prefix_values = prefix.keys[layer][0], prefix.values[layer][0]
    flat = stacked.transpose(0, 1).reshape(num_kv, num_rows * num_queries, width)
    shared = (flat @ prefix_keys.transpose(1, 2)).view(num_kv, num_rows, num_queries, -1).transpose(0, 1)
    weights = torch.cat([shared, own], dim=-1).softmax(-1, dtype=torch.float32).to(values.dtype)
    num_shared = prefix_keys.shape[1]
    flat = weights[..., :num_shared].transpose(0, 1).reshape(num_kv, num_rows * num_queries, num_shared)
    mixed = (flat @ prefix_values).view(num_kv, num_rows, num_queries, width).transpose(0, 1)
    return mixed + weights[..., num_shared:] @ values
